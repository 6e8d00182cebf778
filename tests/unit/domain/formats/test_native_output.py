"""Result lines and error lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.formats.native import error_line, result_line

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts)
def test_result_line_any_text_is_one_line_of_json(prompt_id: str, text: str) -> None:
    line = result_line(prompt_id, {"result": text, "model": "model-1", "request_id": None})

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"prompt_id": prompt_id, "result": text, "model": "model-1", "request_id": None}


@pytest.mark.parametrize("text", ["\n" * 100_000, "\r\n", "a\x00b", "\x1b[2J", '"}\n{"prompt_id": "forged"}'])
def test_result_line_text_with_line_feeds_is_one_line(text: str) -> None:
    line = result_line("p1", {"result": text})

    assert line.count(b"\n") == 1
    assert json.loads(line)["result"] == text


@given(st.none() | texts, texts)
def test_error_line_any_message_is_one_line_of_json(prompt_id: str | None, message: str) -> None:
    line = error_line(prompt_id, "some_code", message, 3, 17)

    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "prompt_id": prompt_id,
        "error": "some_code",
        "message": message,
        "attempts": 3,
        "line": 17,
    }


@given(st.dictionaries(texts, st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts))
def test_output_line_metadata_is_unchanged(metadata: dict[str, object]) -> None:
    for line in (result_line("p1", {"result": "r"}, metadata), error_line("p1", "some_code", "Why.", 1, 2, metadata)):
        assert line.count(b"\n") == 1
        assert json.loads(line)["metadata"] == metadata


def test_output_line_without_metadata_has_no_such_field() -> None:
    assert b"metadata" not in result_line("p1", {"result": "r"}) + error_line("p1", "some_code", "Why.", 1, 2)
