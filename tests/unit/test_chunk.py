import json

from promptforge.domain.chunk import Chunk, Cut

CUT = Cut(number=3, start=0, end=9, first_line=10, last_line=14, line_count=2)


def new_chunk() -> Chunk:
    return Chunk(**CUT.model_dump(), due_at=1.5)


def test_a_new_chunk_is_open_unheld_and_has_counted_nothing() -> None:
    chunk = new_chunk()

    assert (chunk.open, chunk.epoch, chunk.holder, chunk.flushed) == (True, 0, None, [])
    assert chunk.completed == chunk.failed == chunk.tokens == 0
    assert (chunk.results, chunk.errors) == (None, None)


def test_a_chunk_survives_its_document_with_its_line_numbers() -> None:
    chunk = new_chunk().model_copy(update={"duplicates": {12: 5, 14: 5}, "holder": "h", "epoch": 2})

    assert Chunk.model_validate(json.loads(json.dumps(chunk.model_dump(mode="json")))) == chunk


def test_a_chunk_of_a_newer_version_is_still_read() -> None:
    document = new_chunk().model_dump(mode="json") | {"from_the_future": [1]}

    assert Chunk.model_validate(document) == new_chunk()
