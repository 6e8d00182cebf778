"""A prompt_id is answered on the first valid line that has it."""

from tests.corpus.case import Case, row

DUPLICATE = "duplicate_prompt_id"
FILLING = [(f"id-{number}", f"prompt {number}") for number in range(600)]
LONG = b'{"prompt_id": "a", "prompt": "' + b"x" * 1_048_576 + b'"}'


def lines(*rows: bytes) -> bytes:
    return b"\n".join(rows) + b"\n"


CASES = [
    Case(
        "on the next line",
        lines(row("a", "1"), row("a", "2"), row("b", "3")),
        3,
        (("a", "1"), ("b", "3")),
        ((2, DUPLICATE, "a"),),
        words={2: "line 1;"},
    ),
    Case("the same line twice", lines(row("a"), row("a")), 2, (("a", "text"),), ((2, DUPLICATE, "a"),)),
    Case(
        "three times: each names the first",
        lines(row("b"), row("a"), row("a"), row("a")),
        4,
        (("b", "text"), ("a", "text")),
        ((3, DUPLICATE, "a"), (4, DUPLICATE, "a")),
        words={3: "line 2;", 4: "line 2;"},
    ),
    Case(
        "every line the same",
        lines(*[row("a")] * 100),
        100,
        (("a", "text"),),
        tuple((number, DUPLICATE, "a") for number in range(2, 101)),
    ),
    Case(
        "the whole file twice",
        lines(row("a", "1"), row("b", "2")) * 2,
        4,
        (("a", "1"), ("b", "2")),
        ((3, DUPLICATE, "a"), (4, DUPLICATE, "b")),
        words={3: "line 1;", 4: "line 2;"},
    ),
    Case(
        "600 lines later",
        lines(row("a", "1"), *(row(*pair) for pair in FILLING), row("a", "2")),
        602,
        (("a", "1"), *FILLING),
        ((602, DUPLICATE, "a"),),
        words={602: "line 1;"},
    ),
    Case(
        "half a million blank lines later",
        lines(row("a", "1"), *[b""] * 500_000, row("a", "2"), row("b", "3")),
        3,
        (("a", "1"), ("b", "3")),
        ((500_002, DUPLICATE, "a"),),
        words={500_002: "line 1;"},
    ),
    Case(
        "written in escapes",
        lines(row("a", "1"), rb'{"prompt_id": "\u0061", "prompt": "2"}'),
        2,
        (("a", "1"),),
        ((2, DUPLICATE, "a"),),
    ),
    Case(
        "a slash with and without escape",
        lines(rb'{"prompt_id": "a\/b", "prompt": "1"}', row("a/b", "2")),
        2,
        (("a/b", "1"),),
        ((2, DUPLICATE, "a/b"),),
    ),
    Case(
        "a pair of escapes and its character",
        lines(rb'{"prompt_id": "\ud83d\ude00", "prompt": "1"}', row("😀", "2")),
        2,
        (("😀", "1"),),
        ((2, DUPLICATE, "😀"),),
    ),
    Case(
        "the earlier line has no prompt",
        lines(b'{"prompt_id": "a"}', row("a", "2"), row("a", "3")),
        3,
        (("a", "2"),),
        ((1, "missing_prompt", "a"), (3, DUPLICATE, "a")),
        words={3: "line 2;"},
    ),
    Case(
        "the earlier line has an empty prompt",
        lines(b'{"prompt_id": "a", "prompt": ""}', row("a", "2")),
        2,
        (("a", "2"),),
        ((1, "invalid_prompt", "a"),),
    ),
    Case(
        "the earlier line is truncated",
        lines(b'{"prompt_id": "a", "prompt": "1', row("a", "2")),
        2,
        (("a", "2"),),
        ((1, "invalid_json", None),),
    ),
    Case("the earlier line is too long", lines(LONG, row("a", "2")), 2, (("a", "2"),), ((1, "line_too_long", None),)),
    Case(
        "the earlier line is not UTF-8",
        lines(b'{"prompt_id": "a", "prompt": "\xff"}', row("a", "2")),
        2,
        (("a", "2"),),
        ((1, "invalid_utf8", None),),
    ),
    Case(
        "the later line has no prompt",
        lines(row("a", "1"), b'{"prompt_id": "a"}'),
        2,
        (("a", "1"),),
        ((2, "missing_prompt", "a"),),
    ),
    Case(
        "the later line is too long",
        lines(row("a", "1"), LONG, row("a", "3")),
        3,
        (("a", "1"),),
        ((2, "line_too_long", None), (3, DUPLICATE, "a")),
        words={3: "line 1;"},
    ),
    Case(
        "two invalid ids are not duplicates",
        lines(b'{"prompt_id": 7, "prompt": "x"}', b'{"prompt_id": 7, "prompt": "x"}', row("7", "y")),
        3,
        (("7", "y"),),
        ((1, "invalid_prompt_id", None), (2, "invalid_prompt_id", None)),
    ),
    Case(
        "a number and its text",
        lines(row("1", "x"), b'{"prompt_id": 1, "prompt": "x"}'),
        2,
        (("1", "x"),),
        ((2, "invalid_prompt_id", None),),
    ),
    Case(
        "among blank lines and Windows line ends",
        b"\r\n" + row("a", "1") + b"\r\n\r\n" + row("a", "2") + b"\r\n",
        2,
        (("a", "1"),),
        ((4, DUPLICATE, "a"),),
        words={4: "line 2;"},
    ),
    Case(
        "two ids crossed",
        lines(row("a", "1"), row("b", "2"), row("b", "3"), row("a", "4")),
        4,
        (("a", "1"), ("b", "2")),
        ((3, DUPLICATE, "b"), (4, DUPLICATE, "a")),
        words={3: "line 2;", 4: "line 1;"},
    ),
    Case(
        "after a byte order mark",
        b"\xef\xbb\xbf" + lines(row("a", "1"), row("a", "2")),
        2,
        (("a", "1"),),
        ((2, DUPLICATE, "a"),),
        words={2: "line 1;"},
    ),
    Case(
        "an id of 1,024 bytes",
        lines(row("é" * 512), row("é" * 512)),
        2,
        (("é" * 512, "text"),),
        ((2, DUPLICATE, "é" * 512),),
    ),
]
