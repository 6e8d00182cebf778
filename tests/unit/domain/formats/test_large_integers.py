"""Integers of more than 64 bits: rejected where they would lose digits, and not confused with floats."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.formats.large_integers import has_large_integer
from promptforge.domain.formats.native import InvalidLine, Prompt, parse_line


def found(text: str) -> bool:
    return has_large_integer(orjson.loads(text), text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551616",
        "-9223372036854775809",
        "[12345678901234567890123]",
        '{"a": {"b": [1, 99999999999999999999]}}',
        '{"text": "\\"", "a":99999999999999999999}',
        '{"a": 1e300, "b": 100000000000000000000}',
    ],
)
def test_has_large_integer_rounded_integer_is_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551615",
        "-9223372036854775808",
        "1e300",
        "1E+25",
        "99999999999999999999.0",
        "0.99999999999999999999",
        '"99999999999999999999"',
        '{"99999999999999999999": 1e30}',
        '{"a": 1e20, "b": "100000000000000000000 \\" 100000000000000000000"}',
    ],
)
def test_has_large_integer_exact_value_is_not_found(text: str) -> None:
    assert not found(text)


values = st.recursive(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**25), 10**25) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def integers(value: object) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in integers(item)]
    return [value] if isinstance(value, int) else []


@given(values)
def test_has_large_integer_any_value_is_found_only_over_64_bits(value: object) -> None:
    text = json.dumps(value)
    if "\\ud" not in text:
        assert found(text) == any(not -(2**63) <= number < 2**64 for number in integers(value))


@pytest.mark.parametrize("field", ["metadata", "extra", "response_format"])
def test_parse_line_large_integer_in_parameter_is_rejected(field: str) -> None:
    form = '{"type": "json_schema", "schema": {"const": %s}}' if field == "response_format" else '{"a": %s}'
    line = '{"prompt_id": 1, "prompt": "x", "%s": %s}'

    parsed = parse_line((line % (field, form % "100000000000000000001")).encode())

    message = f"{field}: An integer exceeds 64 bits. Write it as a string."
    assert parsed == InvalidLine("invalid_parameter", message, 1)
    assert isinstance(parse_line((line % (field, form % "1e20")).encode()), Prompt)


def test_parse_line_large_integer_in_unknown_field_is_ignored() -> None:
    line = b'{"prompt_id": "p1", "prompt": "x", "note": 100000000000000000001, "metadata": {"a": 1}}'

    assert isinstance(parse_line(line), Prompt)
