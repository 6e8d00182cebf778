"""The lines of an input: splitting against a plain model, the two judges against each other and against a third."""

import json
import math
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from promptforge.domain.formats.lines import LineSplitter, LongLine
from promptforge.domain.formats.native import InvalidLine, Prompt, is_blank, parse_line, valid_prompt_ids
from tests.fuzz.effort import examples
from tests.fuzz.texts import lines, lines_with_params, many_lines

CODES = {
    *("invalid_json", "invalid_utf8", "json_too_deep", "not_an_object"),
    *("missing_prompt_id", "invalid_prompt_id", "missing_prompt", "invalid_prompt"),
}
PIECES = [b"\n", b"\n\n", b"\r\n", b"\r", b"a", b"bb", b"x" * 70, b" ", b"\x00", b"\x0b", b"\x85", "\u2028".encode()]

blocks = st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join) | st.binary(max_size=90), max_size=12)


@examples(700)
@given(blocks, st.integers(1, 100))
def test_blocks_of_any_size_give_the_lines_of_a_plain_split(fed: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    split = [line for block in fed for line in splitter.feed(block)] + splitter.finish()

    plain = b"".join(fed).split(b"\n")
    if not plain[-1]:
        plain.pop()
    assert [len(line) for line in split] == [len(line) for line in plain]
    for line, expected in zip(split, plain, strict=True):
        assert isinstance(line, LongLine) == (len(expected) > limit)
        assert isinstance(line, LongLine) or line == expected


@examples(600)
@given(st.integers(0, 2**64), st.integers(100, 2000))
def test_the_quick_judge_and_the_thorough_one_agree_on_a_whole_block(seed: int, limit: int) -> None:
    made = many_lines(seed, 30) + lines_with_params(seed, 30)
    rows = [LongLine(len(row), limit) if len(row) > limit else row for row in made]
    judged = [parse_line(row) for row in rows]

    ids, others = valid_prompt_ids(rows)

    assert ids == [verdict.prompt_id for verdict in judged if isinstance(verdict, Prompt)]
    assert others == [at for at, verdict in enumerate(judged) if isinstance(verdict, InvalidLine)]


@examples(600)
@given(st.integers(0, 2**64))
def test_a_line_is_good_when_a_strict_reading_by_another_parser_says_so(seed: int) -> None:
    for line in many_lines(seed, 30):
        if not deep(line):
            judge(line)


@examples(1000)
@given(lines)
def test_of_the_lines_that_are_misjudged_the_smallest_is_found(line: bytes) -> None:
    assume(not deep(line))
    judge(line)


def test_the_lines_made_from_a_seed_are_of_both_kinds() -> None:
    """Else the tests above would compare nothing."""
    judged = [parse_line(line) for line in many_lines(1, 3000)]

    assert sum(isinstance(verdict, Prompt) for verdict in judged) > 500
    assert {verdict.code for verdict in judged if isinstance(verdict, InvalidLine)} == CODES


def test_the_lines_with_parameters_are_of_both_kinds() -> None:
    judged = [parse_line(line) for line in lines_with_params(1, 3000)]

    assert sum(isinstance(verdict, Prompt) and verdict.params is not None for verdict in judged) > 300
    assert sum(isinstance(verdict, Prompt) and not verdict.prompt for verdict in judged) > 20
    assert sum(isinstance(verdict, InvalidLine) and verdict.code == "invalid_parameter" for verdict in judged) > 300


def deep(line: bytes) -> bool:
    """Whether the line may nest so deep that the other parser gives up: its limit lies a little below ours."""
    return line.count(b"[") + line.count(b"{") > 900


def judge(line: bytes) -> None:
    judged, expected = parse_line(line), strictly(line)
    if expected:
        assert (judged, is_blank(line)) == (expected, False), line
        return
    assert isinstance(judged, InvalidLine), line
    assert judged.code in CODES
    assert judged.message.endswith(".")
    assert (judged.prompt_id is not None) == (judged.code in {"missing_prompt", "invalid_prompt"})


def strictly(line: bytes) -> Prompt | None:
    """The README's rules over the standard library's parser."""
    try:
        data = json.loads(
            line.decode(), parse_constant=_finite, parse_int=_finite, parse_float=_finite, object_pairs_hook=_writable
        )
    except ValueError:
        return None
    prompt_id, prompt = (data.get("prompt_id"), data.get("prompt")) if isinstance(data, dict) else (None, None)
    if not isinstance(prompt_id, str) or not isinstance(prompt, str):
        return None
    return Prompt(prompt_id, prompt) if prompt and 1 <= len(prompt_id.encode()) <= 1024 else None


def _finite(number: str) -> float:
    if not math.isfinite(float(number)):
        raise ValueError(number)
    return float(number)


def _writable(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a repeated name the last value counts, but every one must be possible in UTF-8."""
    json.dumps(pairs, ensure_ascii=False).encode()
    return dict(pairs)
