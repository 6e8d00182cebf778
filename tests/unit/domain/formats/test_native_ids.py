import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.formats.native import InvalidLine, Prompt, duplicate_id_error, parse_line

MAX_ID_BYTES = 1024


def line_with(prompt_id: object) -> bytes:
    return json.dumps({"prompt_id": prompt_id, "prompt": "x"}, ensure_ascii=False).encode()


def verdict(line: bytes) -> InvalidLine:
    judged = parse_line(line)
    assert isinstance(judged, InvalidLine)
    return judged


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
def test_an_odd_id_is_given_back_unchanged(prompt_id: str) -> None:
    assert parse_line(line_with(prompt_id)) == Prompt(prompt_id, "x")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_text_that_is_short_enough_is_an_id(prompt_id: str) -> None:
    assert parse_line(line_with(prompt_id)) == Prompt(prompt_id, "x")


@pytest.mark.parametrize("character", ["a", "\u00e9", "\u4e2d", "\U0001f600"])
def test_the_limit_of_an_id_is_counted_in_bytes(character: str) -> None:
    fits, rest = divmod(MAX_ID_BYTES, len(character.encode()))
    longest = character * fits + "x" * rest

    assert parse_line(line_with(longest)) == Prompt(longest, "x")
    assert verdict(line_with(longest + "x")).code == "invalid_prompt_id"


def test_a_huge_id_is_refused_and_not_repeated() -> None:
    judged = verdict(line_with("i" * 10_000_000))

    assert judged.code == "invalid_prompt_id"
    assert judged.prompt_id is None
    assert len(judged.message) < 200


def test_a_line_without_an_id_is_named_so() -> None:
    assert verdict(b'{"prompt": "x"}').code == "missing_prompt_id"
    assert verdict(b"{}").code == "missing_prompt_id"
    assert verdict(b'{"Prompt_ID": "p1", "id": "p1", "prompt": "x"}').code == "missing_prompt_id"


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
def test_an_id_of_another_type_is_named(prompt_id: object, kind: str) -> None:
    judged = verdict(line_with(prompt_id))

    assert judged.code == "invalid_prompt_id"
    assert judged.prompt_id is None
    assert judged.message == f"prompt_id must be a string, not {kind}."


def test_an_empty_id_is_refused() -> None:
    judged = verdict(line_with(""))

    assert judged.code == "invalid_prompt_id"
    assert judged.message == "prompt_id is empty."


def test_a_line_without_a_prompt_keeps_its_id() -> None:
    judged = verdict(b'{"prompt_id": "p1", "Prompt": "x"}')

    assert (judged.code, judged.prompt_id) == ("missing_prompt", "p1")


@pytest.mark.parametrize(
    ("prompt", "fault"),
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
def test_a_prompt_that_is_no_text_is_refused_and_keeps_its_id(prompt: object, fault: str) -> None:
    judged = verdict(json.dumps({"prompt_id": "p1", "prompt": prompt}).encode())

    assert judged == InvalidLine("invalid_prompt", f"prompt {fault}", "p1")


def test_a_bad_id_is_told_before_a_bad_prompt() -> None:
    assert verdict(b'{"prompt_id": 7, "prompt": 7}').code == "invalid_prompt_id"


def test_a_duplicate_is_told_with_both_lines() -> None:
    judged = duplicate_id_error("p1", 2_000_000, 7)

    assert (judged.code, judged.prompt_id) == ("duplicate_prompt_id", "p1")
    assert "line 2000000" in judged.message
    assert "line 7;" in judged.message
