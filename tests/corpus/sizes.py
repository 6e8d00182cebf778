"""Lines at the size limit, and files over the limit of lines."""

from tests.corpus.case import AROUND, FIRST, LAST, Case, invalid, no_valid_line, row, valid

LIMIT = 1_048_576  # 1 MiB, the documented default
HEAD, TAIL = b'{"prompt_id": "second", "prompt": "', b'"}'
TOO_LONG = "line_too_long"


def text(size: int) -> str:
    """Return the text of a line of `size` bytes."""
    return "x" * (size - len(HEAD) - len(TAIL))


def line(size: int) -> bytes:
    return HEAD + text(size).encode() + TAIL


LINES = [
    valid("one byte under the limit", line(LIMIT - 1), text=text(LIMIT - 1)),
    valid("at the limit", line(LIMIT), text=text(LIMIT)),
    invalid(
        "one byte over the limit", line(LIMIT + 1), TOO_LONG, words="1048577 bytes, more than the limit of 1048576."
    ),
    valid("at the limit with a carriage return", line(LIMIT - 1) + b"\r", text=text(LIMIT - 1)),
    invalid("over the limit by a carriage return", line(LIMIT) + b"\r", TOO_LONG),
    valid("at the limit with spaces", line(LIMIT - 100) + b" " * 100, text=text(LIMIT - 100)),
    invalid("over the limit by a space", line(LIMIT) + b" ", TOO_LONG),
    invalid("twice the limit", line(2 * LIMIT), TOO_LONG),
    invalid("five times the limit", line(5 * LIMIT), TOO_LONG, words="5242880 bytes"),
    invalid("over the limit in escapes, not in characters", HEAD + rb"\n" * 1_000_000 + TAIL, TOO_LONG),
    invalid("an id of ten million letters", row("i" * 10_000_000), TOO_LONG),
    invalid("over the limit and no JSON", b"x" * (LIMIT + 1), TOO_LONG),
    invalid("over the limit and not UTF-8", b"\xff" * (LIMIT + 1), TOO_LONG),
    invalid("over the limit and all NUL", b"\x00" * (LIMIT + 1), TOO_LONG),
    invalid("over the limit and all space", b" " * (LIMIT + 1), TOO_LONG),
    invalid("over the limit and a bomb", b"[" * (LIMIT + 1), TOO_LONG),
    invalid("at the limit and no JSON", b"x" * LIMIT, "invalid_json"),
    invalid("at the limit and not UTF-8", b"\xff" * LIMIT, "invalid_utf8"),
    invalid("a character across the limit", HEAD + b"x" * (LIMIT - len(HEAD) - 1) + "😀".encode() + TAIL, TOO_LONG),
]

PLACES = [
    Case("at the limit, no line feed", FIRST + b"\n" + line(LIMIT), 2, (AROUND[0], ("second", text(LIMIT)))),
    Case("over the limit, no line feed", FIRST + b"\n" + line(LIMIT + 1), 2, AROUND[:1], ((2, TOO_LONG, None),)),
    Case("over the limit on the first line", line(LIMIT + 1) + b"\n" + LAST, 2, AROUND[1:], ((1, TOO_LONG, None),)),
    Case("at the limit after a byte order mark", b"\xef\xbb\xbf" + line(LIMIT), 1, (("second", text(LIMIT)),)),
    no_valid_line("over the limit after a byte order mark", b"\xef\xbb\xbf" + line(LIMIT + 1), (1, TOO_LONG, None)),
    no_valid_line("nothing but one long line", b"x" * (3 * LIMIT), (1, TOO_LONG, None)),
    Case(
        "three long lines in a row",
        FIRST + b"\n" + (b"x" * (LIMIT + 1) + b"\n") * 3 + LAST,
        5,
        AROUND,
        ((2, TOO_LONG, None), (3, TOO_LONG, None), (4, TOO_LONG, None)),
    ),
    Case(
        "long lines among valid ones",
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
        words={1: "65 bytes, more than the limit of 64."},
        settings=SMALL,
    ),
]

FIVE = {"max_lines": 5}
PAIRS = [(f"id-{number}", "text") for number in range(6)]


def rows(count: int) -> bytes:
    return b"".join(row(*pair) + b"\n" for pair in PAIRS[:count])


def over(name: str, content: bytes, prompt_count: int) -> Case:
    """Return a file over the limit of lines: no call is made, and every prompt found so far counts as failed."""
    return Case(name, content, prompt_count, job_error="limit_exceeded", settings=FIVE)


COUNTS = [
    Case("five of five lines", rows(5), 5, tuple(PAIRS[:5]), settings=FIVE),
    Case("five of five lines, no last line feed", rows(5)[:-1], 5, tuple(PAIRS[:5]), settings=FIVE),
    Case(
        "four prompts and a blank line of five",
        rows(2) + b"\n" + rows(4)[len(rows(2)) :],
        4,
        tuple(PAIRS[:4]),
        settings=FIVE,
    ),
    over("six of five lines", rows(6), 6),
    over("six of five lines, no last line feed", rows(6)[:-1], 6),
    over("six of five lines, blank ones among them", rows(2) + b"\n\n\n" + rows(1), 3),
    over("six of five lines, all invalid", b"bad\n" * 6, 6),
    over("six of five lines, all blank", b"\n" * 6, 0),
    over("six of five lines, the last one blank", rows(5) + b"\n", 5),
]

CASES = [*LINES, *PLACES]
LIMITED = [*SMALL_LINES, *COUNTS]
