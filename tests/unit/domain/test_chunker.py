"""The cutter against a plain reading of the whole file, and against what a worker reads of each chunk."""

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
good = st.builds(lambda name, n: orjson.dumps({"prompt_id": f"{name}{n}", "prompt": "p"}), ids, st.integers(0, 3))
odd = st.sampled_from([b"", b"  ", b"\t\r", b"nope", b"[]", b'{"prompt_id": "x"}', b"\xff", b"x" * 300, b" " * 300])
files = st.lists(good | good | odd, max_size=60).flatmap(
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


def cut(content: bytes, chunk_lines: int, block: int) -> tuple[Chunker, list[ChunkRange]]:
    """Cut a file that arrives in blocks."""
    cutter = Chunker(pinned(len(content), chunk_lines, max(len(content) // 16, 1)), max_lines=10**6)
    lines = LineSplitter(LIMIT)
    cuts = []
    for first in range(0, len(content), block):
        cuts += cutter.feed(lines.feed(content[first : first + block]))
    return cutter, cuts + cutter.finish(lines.finish())


def read_plainly(content: bytes) -> tuple[dict[int, bytes], dict[int, int]]:
    """The non-blank lines by number, and the repeated ids."""
    lines, first_lines, repeated = {}, dict[str, int](), {}
    for number, raw in enumerate(content.split(b"\n"), 1):
        if len(raw) > LIMIT or raw.strip():
            lines[number] = raw
        judged = parse_line(raw) if len(raw) <= LIMIT else None
        if isinstance(judged, Prompt) and first_lines.setdefault(judged.prompt_id, number) != number:
            repeated[number] = first_lines[judged.prompt_id]
    return lines, repeated


@settings(max_examples=300, deadline=None)
@given(files, st.integers(1, 9), st.integers(1, 500))
@example(b"", 1, 1)
@example(b"\n\n\n" + b'{"prompt_id":"a","prompt":"b"}', 1, 1)
def test_the_chunks_hold_every_line_once_and_a_worker_reads_in_them_what_the_splitter_read(
    content: bytes, chunk_lines: int, block: int
) -> None:
    cutter, cuts = cut(content, chunk_lines, block)
    plain, repeated = read_plainly(content)

    read_again: dict[int, int] = {}
    for chunk in cuts:
        lines = LineSplitter(LIMIT)
        raw = lines.feed(content[chunk.start : chunk.end]) + lines.finish()
        numbers = [number for number, line in enumerate(raw, chunk.first_line) if not is_blank(line)]
        assert len(numbers) == chunk.line_count > 0
        assert chunk.first_line <= numbers[0]
        assert numbers[-1] <= chunk.last_line
        assert chunk.last_line - chunk.first_line < chunk_lines
        read_again |= {number: len(raw[number - chunk.first_line]) for number in numbers}

    assert read_again == {number: len(line) for number, line in plain.items()}
    assert [chunk.number for chunk in cuts] == list(range(cutter.chunks))
    assert {line: first for chunk in cuts for line, first in chunk.duplicates.items()} == repeated
    assert all(chunk.first_line <= line <= chunk.last_line for chunk in cuts for line in chunk.duplicates)
    assert cutter.lines == len(plain)
    bad = sum(len(line) > LIMIT or not isinstance(parse_line(line), Prompt) for line in plain.values())
    assert cutter.invalid == bad + len(repeated)


@given(files, st.integers(1, 9))
def test_the_cut_does_not_depend_on_how_the_bytes_arrive(content: bytes, chunk_lines: int) -> None:
    assert cut(content, chunk_lines, 7)[1] == cut(content, chunk_lines, 10**6)[1]


@given(st.lists(good | odd | st.binary(max_size=40), max_size=30))
def test_the_fast_verdict_is_the_full_one(lines: list[bytes]) -> None:
    found, others = valid_prompt_ids(lines)

    judged = [parse_line(line) for line in lines]
    assert found == [verdict.prompt_id for verdict in judged if isinstance(verdict, Prompt)]
    assert others == [at for at, verdict in enumerate(judged) if not isinstance(verdict, Prompt)]


def test_a_file_with_more_lines_than_allowed_is_refused_whole() -> None:
    cutter = Chunker(pinned(100, 1, 1), max_lines=3)

    assert cutter.feed([b"a", b"", b"b"]) == []
    assert cutter.error is None
    assert cutter.finish([b""]) == []
    assert cutter.error is not None
    assert (cutter.error.code, cutter.lines) == ("limit_exceeded", 2)
