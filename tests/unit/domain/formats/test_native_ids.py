"""The prompt_id and the prompt of an input line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.formats.native import InvalidLine, Prompt, duplicate_id_error, parse_line

MAX_ID_BYTES = 1024


def line_with(prompt_id: object) -> bytes:
    return json.dumps({"prompt_id": prompt_id, "prompt": "x"}, ensure_ascii=False).encode()


def parse_invalid(line: bytes) -> InvalidLine:
    parsed = parse_line(line)
    assert isinstance(parsed, InvalidLine)
    return parsed


@pytest.mark.parametrize(
    "prompt_id",
    [
        "../../x",
        "a/b",
        "a\\b",
        "__x__",
        ".",
        "..",
        " ",
        "\x00",
        "a\x00b",
        "a\nb",
        "\u202etxt.exe",
        "=cmd()",
        "+1",
        "@SUM(A1)",
        "'; drop table documents; --",
        "\ufeff",
        "e\u0301",
        "\u00e9",
        "null",
        "0",
        "\U0001f469\u200d\U0001f4bb",
    ],
)
def test_parse_line_unusual_prompt_id_is_unchanged(prompt_id: str) -> None:
    assert parse_line(line_with(prompt_id)) == Prompt(prompt_id, "x")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_parse_line_any_short_text_is_prompt_id(prompt_id: str) -> None:
    assert parse_line(line_with(prompt_id)) == Prompt(prompt_id, "x")


@pytest.mark.parametrize("character", ["a", "\u00e9", "\u4e2d", "\U0001f600"])
def test_parse_line_prompt_id_limit_counts_bytes(character: str) -> None:
    fits, rest = divmod(MAX_ID_BYTES, len(character.encode()))
    longest = character * fits + "x" * rest

    assert parse_line(line_with(longest)) == Prompt(longest, "x")
    assert parse_invalid(line_with(longest + "x")).code == "invalid_prompt_id"


def test_parse_line_huge_prompt_id_is_not_repeated() -> None:
    parsed = parse_invalid(line_with("i" * 10_000_000))

    assert parsed.code == "invalid_prompt_id"
    assert parsed.prompt_id is None
    assert len(parsed.message) < 200


def test_parse_line_without_prompt_id_returns_missing_prompt_id() -> None:
    assert parse_invalid(b'{"prompt": "x"}').code == "missing_prompt_id"
    assert parse_invalid(b"{}").code == "missing_prompt_id"
    assert parse_invalid(b'{"Prompt_ID": "p1", "id": "p1", "prompt": "x"}').code == "missing_prompt_id"


@pytest.mark.parametrize(
    ("prompt_id", "kind"),
    [
        (None, "null"),
        (7, "a number"),
        (7.5, "a number"),
        (10**30, "a number"),
        (True, "a boolean"),
        ([], "an array"),
        (["p1"], "an array"),
        ({}, "an object"),
    ],
)
def test_parse_line_prompt_id_of_other_type_names_type(prompt_id: object, kind: str) -> None:
    parsed = parse_invalid(line_with(prompt_id))

    assert parsed.code == "invalid_prompt_id"
    assert parsed.prompt_id is None
    assert parsed.message == f"prompt_id must be a string, not {kind}."


def test_parse_line_empty_prompt_id_returns_error() -> None:
    parsed = parse_invalid(line_with(""))

    assert parsed.code == "invalid_prompt_id"
    assert parsed.message == "prompt_id is empty."


def test_parse_line_without_prompt_keeps_prompt_id() -> None:
    parsed = parse_invalid(b'{"prompt_id": "p1", "Prompt": "x"}')

    assert (parsed.code, parsed.prompt_id) == ("missing_prompt", "p1")


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (None, "must be a string, not null."),
        (7, "must be a string, not a number."),
        (1.5, "must be a string, not a number."),
        (False, "must be a string, not a boolean."),
        ([], "must be a string, not an array."),
        (["x"], "must be a string, not an array."),
        ({"text": "x"}, "must be a string, not an object."),
        ("", "is empty."),
    ],
)
def test_parse_line_prompt_of_other_type_keeps_prompt_id(prompt: object, reason: str) -> None:
    parsed = parse_invalid(json.dumps({"prompt_id": "p1", "prompt": prompt}).encode())

    assert parsed == InvalidLine("invalid_prompt", f"prompt {reason}", "p1")


def test_parse_line_reports_prompt_id_before_prompt() -> None:
    assert parse_invalid(b'{"prompt_id": 7, "prompt": 7}').code == "invalid_prompt_id"


def test_duplicate_id_error_names_both_lines() -> None:
    parsed = duplicate_id_error("p1", 2_000_000, 7)

    assert (parsed.code, parsed.prompt_id) == ("duplicate_prompt_id", "p1")
    assert "line 2000000" in parsed.message
    assert "line 7;" in parsed.message
