"""Lines at the limit, and files over it (faults F08, F20)."""

from tests.corpus.case import AROUND, FIRST, LAST, Case, bad, fine, hopeless, row

LIMIT = 1_048_576  # 1 MiB, the README's default
HEAD, TAIL = b'{"prompt_id": "second", "prompt": "', b'"}'
TOO_LONG = "line_too_long"


def text(size: int) -> str:
    """The text of a line of `size` bytes."""
    return "x" * (size - len(HEAD) - len(TAIL))


def line(size: int) -> bytes:
    return HEAD + text(size).encode() + TAIL


LINES = [
    fine("one byte under the limit", line(LIMIT - 1), text=text(LIMIT - 1)),
    fine("at the limit", line(LIMIT), text=text(LIMIT)),
    bad("one byte over the limit", line(LIMIT + 1), TOO_LONG, said="1048577 bytes, more than the limit of 1048576."),
    fine("at the limit with a carriage return", line(LIMIT - 1) + b"\r", text=text(LIMIT - 1)),
    bad("over the limit by a carriage return", line(LIMIT) + b"\r", TOO_LONG),
    fine("at the limit with spaces", line(LIMIT - 100) + b" " * 100, text=text(LIMIT - 100)),
    bad("over the limit by a space", line(LIMIT) + b" ", TOO_LONG),
    bad("twice the limit", line(2 * LIMIT), TOO_LONG),
    bad("five times the limit", line(5 * LIMIT), TOO_LONG, said="5242880 bytes"),
    bad("over the limit in escapes, not in characters", HEAD + rb"\n" * 1_000_000 + TAIL, TOO_LONG),
    bad("an id of ten million letters", row("i" * 10_000_000), TOO_LONG),
    bad("over the limit and no JSON", b"x" * (LIMIT + 1), TOO_LONG),
    bad("over the limit and not UTF-8", b"\xff" * (LIMIT + 1), TOO_LONG),
    bad("over the limit and all NUL", b"\x00" * (LIMIT + 1), TOO_LONG),
    bad("over the limit and all space", b" " * (LIMIT + 1), TOO_LONG),
    bad("over the limit and a bomb", b"[" * (LIMIT + 1), TOO_LONG),
    bad("at the limit and no JSON", b"x" * LIMIT, "invalid_json"),
    bad("at the limit and not UTF-8", b"\xff" * LIMIT, "invalid_utf8"),
    bad("a character across the limit", HEAD + b"x" * (LIMIT - len(HEAD) - 1) + "😀".encode() + TAIL, TOO_LONG),
]

PLACES = [
    Case("at the limit, no line feed", FIRST + b"\n" + line(LIMIT), 2, (AROUND[0], ("second", text(LIMIT)))),
    Case("over the limit, no line feed", FIRST + b"\n" + line(LIMIT + 1), 2, AROUND[:1], ((2, TOO_LONG, None),)),
    Case("over the limit on the first line", line(LIMIT + 1) + b"\n" + LAST, 2, AROUND[1:], ((1, TOO_LONG, None),)),
    Case("at the limit after a byte order mark", b"\xef\xbb\xbf" + line(LIMIT), 1, (("second", text(LIMIT)),)),
    hopeless("over the limit after a byte order mark", b"\xef\xbb\xbf" + line(LIMIT + 1), (1, TOO_LONG, None)),
    hopeless("nothing but one long line", b"x" * (3 * LIMIT), (1, TOO_LONG, None)),
    Case(
        "three long lines in a row",
        FIRST + b"\n" + (b"x" * (LIMIT + 1) + b"\n") * 3 + LAST,
        5,
        AROUND,
        ((2, TOO_LONG, None), (3, TOO_LONG, None), (4, TOO_LONG, None)),
    ),
    Case(
        "long lines among good ones",
        b"\n".join([FIRST, b"x" * (LIMIT + 1), b"", row("mid", "two"), b"y" * (2 * LIMIT), LAST]),
        5,
        (AROUND[0], ("mid", "two"), AROUND[1]),
        ((2, TOO_LONG, None), (5, TOO_LONG, None)),
    ),
]

SMALL = {"max_line_bytes": 64}
SHORT = b'{"prompt_id": "s", "prompt": "%s"}'  # 32 bytes without the text

SMALL_LINES = [
    Case("64 of 64 bytes", SHORT % (b"x" * 32), 1, (("s", "x" * 32),), settings=SMALL),
    Case(
        "65 of 64 bytes",
        SHORT % (b"x" * 33),
        1,
        errors=((1, TOO_LONG, None),),
        job_error="no_valid_prompts",
        said={1: "65 bytes, more than the limit of 64."},
        settings=SMALL,
    ),
]

FIVE = {"max_lines": 5}
GOOD = [(f"id-{number}", "text") for number in range(6)]


def rows(count: int) -> bytes:
    return b"".join(row(*pair) + b"\n" for pair in GOOD[:count])


def over(name: str, content: bytes, prompt_count: int) -> Case:
    """A file over the limit of lines: it costs nothing, and every prompt that was seen counts as failed."""
    return Case(name, content, prompt_count, job_error="limit_exceeded", settings=FIVE)


COUNTS = [
    Case("five of five lines", rows(5), 5, tuple(GOOD[:5]), settings=FIVE),
    Case("five of five lines, no last line feed", rows(5)[:-1], 5, tuple(GOOD[:5]), settings=FIVE),
    Case(
        "four prompts and a blank line of five",
        rows(2) + b"\n" + rows(4)[len(rows(2)) :],
        4,
        tuple(GOOD[:4]),
        settings=FIVE,
    ),
    over("six of five lines", rows(6), 6),
    over("six of five lines, no last line feed", rows(6)[:-1], 6),
    over("six of five lines, blank ones among them", rows(2) + b"\n\n\n" + rows(1), 3),
    over("six of five lines, all bad", b"bad\n" * 6, 6),
    over("six of five lines, all blank", b"\n" * 6, 0),
    over("six of five lines, the last one blank", rows(5) + b"\n", 5),
]

CASES = [*LINES, *PLACES]
LIMITED = [*SMALL_LINES, *COUNTS]
