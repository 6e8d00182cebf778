import tracemalloc
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.formats.lines import LineSplitter, LongLine

Seen = tuple[str, int, bytes]

FRAGMENTS = [b"\n", b"\n\n", b"\r\n", b"a", b"bb", b"long enough", "\u2028".encode(), "\x85".encode(), b"\x0b", b"\x00"]
streams = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(b"".join))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def split(blocks: list[bytes], max_line_bytes: int) -> list[bytes]:
    splitter = LineSplitter(max_line_bytes)
    return [line for block in blocks for line in splitter.feed(block)] + splitter.finish()


def seen(line: bytes) -> Seen:
    return ("long", len(line), b"") if isinstance(line, LongLine) else ("line", len(line), bytes(line))


def expected(data: bytes, max_line_bytes: int) -> list[Seen]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [("long", len(line), b"") if len(line) > max_line_bytes else ("line", len(line), line) for line in lines]


@settings(deadline=None, max_examples=300)
@given(streams, st.lists(st.integers(0, 200), max_size=12), st.integers(1, 16))
def test_any_cut_into_blocks_gives_the_same_lines(data: bytes, places: list[int], max_line_bytes: int) -> None:
    lines = split(cut(data, places), max_line_bytes)

    assert [seen(line) for line in lines] == expected(data, max_line_bytes)


@settings(deadline=None)
@given(streams)
def test_blocks_of_one_byte_lose_nothing(data: bytes) -> None:
    lines = split([data[at : at + 1] for at in range(len(data))], 1000)

    assert b"".join(line + b"\n" for line in lines) in (data, data + b"\n")


def test_only_a_line_feed_ends_a_line() -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive\x0csix\rseven".encode()

    assert split([text + b"\n" + text], 1000) == [text, text]


def test_the_carriage_return_stays_on_its_line() -> None:
    assert split([b"a\r", b"\nb\r\n"], 10) == [b"a\r", b"b\r"]


def test_a_last_line_without_its_line_feed_is_a_line() -> None:
    assert split([b"a\nb"], 10) == [b"a", b"b"]


def test_a_file_that_ends_in_a_line_feed_has_no_empty_line_after_it() -> None:
    assert split([b"a\n"], 10) == [b"a"]


def test_an_empty_stream_has_no_lines() -> None:
    assert split([], 10) == []
    assert split([b"", b""], 10) == []


def test_empty_lines_keep_their_place() -> None:
    assert split([b"\n\na\n\nb"], 10) == [b"", b"", b"a", b"", b"b"]


def test_a_line_of_exactly_the_limit_is_kept_and_one_byte_more_is_not() -> None:
    kept, dropped = split([b"x" * 10 + b"\n", b"x" * 11 + b"\n"], 10)

    assert seen(kept) == ("line", 10, b"x" * 10)
    assert seen(dropped) == ("long", 11, b"")


def test_the_lines_after_a_long_one_are_whole() -> None:
    lines = split([b"x" * 7, b"x" * 7, b"x\nok\n", b"y" * 30 + b"\nfine"], 10)

    assert [seen(line) for line in lines] == [
        ("long", 15, b""),
        ("line", 2, b"ok"),
        ("long", 30, b""),
        ("line", 4, b"fine"),
    ]


def test_a_long_last_line_tells_its_length() -> None:
    (line,) = split([b"x" * 50, b"x" * 50], 10)

    assert seen(line) == ("long", 100, b"")


def test_an_endless_line_is_streamed_in_bounded_memory() -> None:
    limit, block, blocks = 64 * 1024, 16 * 1024, 2048
    splitter = LineSplitter(limit)

    tracemalloc.start()
    for number in range(blocks):
        assert splitter.feed(bytes([97 + number % 26]) * block) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    (line,) = splitter.finish()
    assert seen(line) == ("long", block * blocks, b"")
    assert peak < 4 * limit


def test_a_splitter_may_go_on_after_its_end() -> None:
    splitter = LineSplitter(10)
    splitter.feed(b"a")
    splitter.finish()

    assert splitter.feed(b"b\n") == [b"b"]
    assert splitter.finish() == []
