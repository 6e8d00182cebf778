"""The chunker against a plain parser of the whole file, and against the lines that a worker reads from each chunk."""

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptforge.domain.chunk import ChunkRange
from promptforge.domain.chunker import Chunker
from promptforge.domain.formats.lines import LineSplitter
from promptforge.domain.formats.native import Prompt, is_blank, parse_line, valid_prompt_ids
from promptforge.domain.job import PinnedInput

LIMIT = 200
ids = st.sampled_from(["a", "b", "c", "dd", "é", "1"])
valid = st.builds(lambda name, n: orjson.dumps({"prompt_id": f"{name}{n}", "prompt": "p"}), ids, st.integers(0, 3))
odd = st.sampled_from([b"", b"  ", b"\t\r", b"nope", b"[]", b'{"prompt_id": "x"}', b"\xff", b"x" * 300, b" " * 300])
files = st.lists(valid | valid | odd, max_size=60).flatmap(
    lambda lines: st.tuples(
        st.sampled_from([b"\n", b"\r\n"]).map(lambda end: end.join(lines)), st.sampled_from([b"", b"\n", b"\n\n"])
    ).map(b"".join)
)


def pinned(size: int, chunk_lines: int, chunk_bytes: int) -> PinnedInput:
    return PinnedInput(
        generation=1,
        size=size,
        crc32c="AAAAAA==",
        max_line_bytes=LIMIT,
        chunk_lines=chunk_lines,
        chunk_bytes=chunk_bytes,
        part_lines=10_000,
    )


def make_chunks(content: bytes, chunk_lines: int, block: int) -> tuple[Chunker, list[ChunkRange]]:
    """Split a file that arrives in blocks."""
    chunker = Chunker(pinned(len(content), chunk_lines, max(len(content) // 16, 1)), max_lines=10**6)
    lines = LineSplitter(LIMIT)
    chunks = []
    for start in range(0, len(content), block):
        chunks += chunker.feed(lines.feed(content[start : start + block]))
    return chunker, chunks + chunker.finish(lines.finish())


def parse_whole_file(content: bytes) -> tuple[dict[int, bytes], dict[int, int]]:
    """Return the non-blank lines by number, and the first line of each duplicate line."""
    lines, first_lines, duplicates = {}, dict[str, int](), {}
    for number, raw in enumerate(content.split(b"\n"), 1):
        if len(raw) > LIMIT or raw.strip():
            lines[number] = raw
        parsed = parse_line(raw) if len(raw) <= LIMIT else None
        if isinstance(parsed, Prompt) and first_lines.setdefault(str(parsed.prompt_id), number) != number:
            duplicates[number] = first_lines[str(parsed.prompt_id)]
    return lines, duplicates


@settings(max_examples=300, deadline=None)
@given(files, st.integers(1, 9), st.integers(1, 500))
@example(b"", 1, 1)
@example(b"\n\n\n" + b'{"prompt_id":"a","prompt":"b"}', 1, 1)
def test_chunker_any_file_puts_every_line_into_one_chunk(content: bytes, chunk_lines: int, block: int) -> None:
    chunker, chunks = make_chunks(content, chunk_lines, block)
    expected, duplicates = parse_whole_file(content)

    sizes: dict[int, int] = {}
    for chunk in chunks:
        lines = LineSplitter(LIMIT)
        raw = lines.feed(content[chunk.start : chunk.end]) + lines.finish()
        numbers = [number for number, line in enumerate(raw, chunk.first_line) if not is_blank(line)]
        assert len(numbers) == chunk.line_count > 0
        assert chunk.first_line <= numbers[0]
        assert numbers[-1] <= chunk.last_line
        assert chunk.last_line - chunk.first_line < chunk_lines
        sizes |= {number: len(raw[number - chunk.first_line]) for number in numbers}

    assert sizes == {number: len(line) for number, line in expected.items()}
    assert [chunk.number for chunk in chunks] == list(range(chunker.chunks))
    assert {line: first for chunk in chunks for line, first in chunk.duplicates.items()} == duplicates
    assert all(chunk.first_line <= line <= chunk.last_line for chunk in chunks for line in chunk.duplicates)
    assert chunker.lines == len(expected)
    invalid = sum(len(line) > LIMIT or not isinstance(parse_line(line), Prompt) for line in expected.values())
    assert chunker.invalid == invalid + len(duplicates)


@given(files, st.integers(1, 9))
def test_chunker_ranges_do_not_depend_on_block_size(content: bytes, chunk_lines: int) -> None:
    assert make_chunks(content, chunk_lines, 7)[1] == make_chunks(content, chunk_lines, 10**6)[1]


@given(st.lists(valid | odd | st.binary(max_size=40), max_size=30))
def test_valid_prompt_ids_agrees_with_parse_line(lines: list[bytes]) -> None:
    found, others = valid_prompt_ids(lines)

    parsed = [parse_line(line) for line in lines]
    assert found == [prompt.prompt_id for prompt in parsed if isinstance(prompt, Prompt)]
    assert others == [position for position, prompt in enumerate(parsed) if not isinstance(prompt, Prompt)]


def test_chunker_file_over_max_lines_has_error_limit_exceeded() -> None:
    chunker = Chunker(pinned(100, 1, 1), max_lines=3)

    assert chunker.feed([b"a", b"", b"b"]) == []
    assert chunker.error is None
    assert chunker.finish([b""]) == []
    assert chunker.error is not None
    assert (chunker.error.code, chunker.lines) == ("limit_exceeded", 2)
