"""The splitter of a stream into lines."""

import tracemalloc
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.formats.lines import LineSplitter, LongLine

Shape = tuple[str, int, bytes]

FRAGMENTS = [b"\n", b"\n\n", b"\r\n", b"a", b"bb", b"long enough", "\u2028".encode(), "\x85".encode(), b"\x0b", b"\x00"]
streams = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(b"".join))


def to_blocks(data: bytes, edges: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(edge, len(data)) for edge in edges), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def split(blocks: list[bytes], max_line_bytes: int) -> list[bytes]:
    splitter = LineSplitter(max_line_bytes)
    return [line for block in blocks for line in splitter.feed(block)] + splitter.finish()


def shape(line: bytes) -> Shape:
    return ("long", len(line), b"") if isinstance(line, LongLine) else ("line", len(line), bytes(line))


def expected(data: bytes, max_line_bytes: int) -> list[Shape]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [("long", len(line), b"") if len(line) > max_line_bytes else ("line", len(line), line) for line in lines]


@settings(deadline=None, max_examples=300)
@given(streams, st.lists(st.integers(0, 200), max_size=12), st.integers(1, 16))
def test_splitter_any_blocks_give_lines_of_plain_split(data: bytes, edges: list[int], max_line_bytes: int) -> None:
    lines = split(to_blocks(data, edges), max_line_bytes)

    assert [shape(line) for line in lines] == expected(data, max_line_bytes)


@settings(deadline=None)
@given(streams)
def test_splitter_blocks_of_one_byte_lose_nothing(data: bytes) -> None:
    lines = split([data[position : position + 1] for position in range(len(data))], 1000)

    assert b"".join(line + b"\n" for line in lines) in (data, data + b"\n")


def test_splitter_only_line_feed_ends_line() -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive\x0csix\rseven".encode()

    assert split([text + b"\n" + text], 1000) == [text, text]


def test_splitter_carriage_return_stays_on_line() -> None:
    assert split([b"a\r", b"\nb\r\n"], 10) == [b"a\r", b"b\r"]


def test_splitter_last_line_without_line_feed_is_returned() -> None:
    assert split([b"a\nb"], 10) == [b"a", b"b"]


def test_splitter_final_line_feed_adds_no_empty_line() -> None:
    assert split([b"a\n"], 10) == [b"a"]


def test_splitter_empty_stream_returns_no_lines() -> None:
    assert split([], 10) == []
    assert split([b"", b""], 10) == []


def test_splitter_empty_lines_are_returned() -> None:
    assert split([b"\n\na\n\nb"], 10) == [b"", b"", b"a", b"", b"b"]


def test_splitter_line_over_limit_keeps_length_only() -> None:
    kept, dropped = split([b"x" * 10 + b"\n", b"x" * 11 + b"\n"], 10)

    assert shape(kept) == ("line", 10, b"x" * 10)
    assert shape(dropped) == ("long", 11, b"")


def test_splitter_lines_after_long_line_are_complete() -> None:
    lines = split([b"x" * 7, b"x" * 7, b"x\nok\n", b"y" * 30 + b"\nfine"], 10)

    assert [shape(line) for line in lines] == [
        ("long", 15, b""),
        ("line", 2, b"ok"),
        ("long", 30, b""),
        ("line", 4, b"fine"),
    ]


def test_splitter_long_last_line_has_its_length() -> None:
    (line,) = split([b"x" * 50, b"x" * 50], 10)

    assert shape(line) == ("long", 100, b"")


def test_splitter_endless_line_uses_bounded_memory() -> None:
    limit, block, blocks = 64 * 1024, 16 * 1024, 2048
    splitter = LineSplitter(limit)

    tracemalloc.start()
    for number in range(blocks):
        assert splitter.feed(bytes([97 + number % 26]) * block) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    (line,) = splitter.finish()
    assert shape(line) == ("long", block * blocks, b"")
    assert peak < 4 * limit


def test_splitter_accepts_blocks_after_finish() -> None:
    splitter = LineSplitter(10)
    splitter.feed(b"a")
    splitter.finish()

    assert splitter.feed(b"b\n") == [b"b"]
    assert splitter.finish() == []
