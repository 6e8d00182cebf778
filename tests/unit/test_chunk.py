import pytest

from promptforge.domain.chunk import MAX_CHUNK_BYTES, SPREAD, Chunk, cut_plan


@pytest.mark.parametrize("size", [0, 1, SPREAD - 1, SPREAD, 1000, MAX_CHUNK_BYTES * SPREAD, 5 * 1024**3])
def test_a_plan_always_makes_progress_and_keeps_chunks_small(size: int) -> None:
    plan = cut_plan(generation=7, size=size, chunk_lines=200)

    assert 1 <= plan.chunk_bytes <= MAX_CHUNK_BYTES
    assert (plan.generation, plan.size, plan.chunk_lines) == (7, size, 200)


def test_a_small_file_is_spread_over_many_chunks() -> None:
    assert cut_plan(generation=1, size=SPREAD * 1000, chunk_lines=200).chunk_bytes == 1000


def test_a_chunk_survives_its_document_with_its_line_numbers() -> None:
    chunk = Chunk(number=3, start=0, end=9, first_line=1, line_count=2, duplicates={12: 5}, due_at=1.5)

    assert Chunk.model_validate(chunk.model_dump(mode="json")) == chunk


def test_a_new_chunk_is_open_unheld_and_has_counted_nothing() -> None:
    chunk = Chunk(number=0, start=0, end=1, first_line=1, line_count=1, due_at=0)

    assert (chunk.open, chunk.epoch, chunk.holder, chunk.flushed) == (True, 0, None, [])
    assert chunk.completed == chunk.failed == chunk.tokens == 0
