"""Input lines: the splitter against a plain split, and both parsers against each other and a strict third one."""

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
def test_splitter_any_block_size_gives_lines_of_plain_split(fed: list[bytes], limit: int) -> None:
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
def test_valid_prompt_ids_any_block_agrees_with_parse_line(seed: int, limit: int) -> None:
    raw = many_lines(seed, 30) + lines_with_params(seed, 30)
    rows = [LongLine(len(row), limit) if len(row) > limit else row for row in raw]
    parsed = [parse_line(row) for row in rows]

    ids, others = valid_prompt_ids(rows)

    assert ids == [result.prompt_id for result in parsed if isinstance(result, Prompt)]
    assert others == [position for position, result in enumerate(parsed) if isinstance(result, InvalidLine)]


@examples(600)
@given(st.integers(0, 2**64))
def test_parse_line_seeded_lines_agree_with_strict_parser(seed: int) -> None:
    for line in many_lines(seed, 30):
        if not may_be_too_deep(line):
            check_line(line)


@examples(1000)
@given(lines)
def test_parse_line_any_line_agrees_with_strict_parser(line: bytes) -> None:
    assume(not may_be_too_deep(line))
    check_line(line)


def test_many_lines_returns_valid_and_invalid_lines() -> None:
    """Without both kinds the tests above would compare nothing."""
    parsed = [parse_line(line) for line in many_lines(1, 3000)]

    assert sum(isinstance(result, Prompt) for result in parsed) > 500
    assert {result.code for result in parsed if isinstance(result, InvalidLine)} == CODES


def test_lines_with_params_returns_valid_and_invalid_lines() -> None:
    parsed = [parse_line(line) for line in lines_with_params(1, 3000)]

    assert sum(isinstance(result, Prompt) and result.params is not None for result in parsed) > 300
    assert sum(isinstance(result, Prompt) and not result.prompt for result in parsed) > 20
    assert sum(isinstance(result, InvalidLine) and result.code == "invalid_parameter" for result in parsed) > 300


def may_be_too_deep(line: bytes) -> bool:
    """Return whether the line may nest too deep for the strict parser, whose limit is a little lower."""
    return line.count(b"[") + line.count(b"{") > 900


def check_line(line: bytes) -> None:
    parsed, expected = parse_line(line), parse_strictly(line)
    if expected:
        assert (parsed, is_blank(line)) == (expected, False), line
        return
    assert isinstance(parsed, InvalidLine), line
    assert parsed.code in CODES
    assert parsed.message.endswith(".")
    assert (parsed.prompt_id is not None) == (parsed.code in {"missing_prompt", "invalid_prompt"})


def parse_strictly(line: bytes) -> Prompt | None:
    """Parse a line by the documented rules with the parser of the standard library."""
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
    """Use the last value of a duplicate name; every value must be possible in UTF-8."""
    json.dumps(pairs, ensure_ascii=False).encode()
    return dict(pairs)
