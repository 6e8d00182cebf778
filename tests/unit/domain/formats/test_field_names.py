"""Names of fields that resemble a parameter."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.formats.field_names import OWN_WORDS, similar_name, similar_parameter
from promptforge.domain.formats.native import InvalidLine, Prompt, parse_line, valid_prompt_ids
from promptforge.domain.formats.params import LINE_PARAMS

params = st.sampled_from(sorted(LINE_PARAMS))


def line_with(name: str) -> bytes:
    return orjson.dumps({"prompt_id": "p1", "prompt": "x", name: 1})


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("temprature", "temperature"),
        ("temperatuer", "temperature"),
        ("Temperature", "temperature"),
        ("max_token", "max_tokens"),
        ("maxTokens", "max_tokens"),
        ("MAX-TOKENS", "max_tokens"),
        ("max tokens", "max_tokens"),
        ("topP", "top_p"),
        ("top_pp", "top_p"),
        ("stopp", "stop"),
        ("sead", "seed"),
        ("modle", "model"),
        ("message", "messages"),
        ("responseFormat", "response_format"),
        ("metadta", "metadata"),
        ("sytem", "system"),
        ("extras", "extra"),
    ],
)
def test_parse_line_misspelled_parameter_suggests_the_parameter(name: str, parameter: str) -> None:
    parsed = parse_line(line_with(name))

    assert isinstance(parsed, InvalidLine)
    assert (parsed.code, parsed.prompt_id) == ("invalid_parameter", "p1")
    assert parsed.message.startswith(f"{name}: Unknown field, did you mean {parameter}?")


@pytest.mark.parametrize("name", ["top_k", "n", "stream", "step", "speed", "tags", "text", "id", "", "t" * 1000, "\0"])
def test_parse_line_other_unknown_field_is_ignored(name: str) -> None:
    assert parse_line(line_with(name)) == Prompt("p1", "x")


@given(params, st.integers(0, 20), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1))
def test_similar_parameter_any_single_edit_is_found(parameter: str, at: int, put: str) -> None:
    before, rest = parameter[:at], parameter[at:]

    for name in {before + put + rest, before + put + rest[1:], before + rest[1:]} - LINE_PARAMS - OWN_WORDS:
        assert similar_parameter(name) is not None


@given(st.text(max_size=12))
def test_similar_name_text_without_common_letters_is_never_found(name: str) -> None:
    digits = "".join(str(ord(character) % 10) for character in name)

    assert similar_name(digits, {"system", "temperature"}) is None


@given(st.lists(st.sampled_from(["step", "top_k", "note", "stpo", "Seed", "seed", "tags"]), max_size=6))
def test_valid_prompt_ids_unknown_fields_agree_with_parse_line(names: list[str]) -> None:
    lines = [line_with(name) for name in names]
    valid = [isinstance(parse_line(line), Prompt) for line in lines]

    ids, others = valid_prompt_ids(lines)

    assert others == [position for position, ok in enumerate(valid) if not ok]
    assert len(ids) == sum(valid)
