"""The parser of input lines: bytes, JSON and fields."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.formats.lines import LongLine
from promptforge.domain.formats.native import InvalidLine, Prompt, is_blank, parse_line

VALID = b'{"prompt_id": "p1", "prompt": "Why is the sky blue?"}'
TEXT = VALID.decode()
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def code_of(line: bytes) -> str:
    parsed = parse_line(line)
    assert isinstance(parsed, InvalidLine)
    return parsed.code


def with_field(json_text: str) -> bytes:
    return f'{{"prompt_id": "p1", "prompt": "x", "note": {json_text}}}'.encode()


def test_parse_line_valid_line_returns_prompt() -> None:
    assert parse_line(VALID) == Prompt("p1", "Why is the sky blue?")


def test_parse_line_carriage_return_is_ignored() -> None:
    assert parse_line(VALID + b"\r") == Prompt("p1", "Why is the sky blue?")


def test_parse_line_unknown_fields_are_ignored() -> None:
    assert parse_line(with_field('{"deep": [1, null, true]}')) == Prompt("p1", "x")


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x7f", "\U0010ffff", "\ufeff", "\u202e"])
def test_parse_line_unusual_characters_are_kept(character: str) -> None:
    line = json.dumps({"prompt_id": "p1", "prompt": f"a{character}b"}, ensure_ascii=False).encode()

    assert parse_line(line) == Prompt("p1", f"a{character}b")


@pytest.mark.parametrize("blank", [b"", b" ", b"\t  ", b"\r", b" \r", b"\x0b\x0c"])
def test_is_blank_white_space_returns_true(blank: bytes) -> None:
    assert is_blank(blank)


@pytest.mark.parametrize("line", [VALID, b"x", b"\x00", b"\xef\xbb\xbf", "\u2028".encode(), LongLine(5, 4)])
def test_is_blank_other_bytes_return_false(line: bytes) -> None:
    assert not is_blank(line)


def test_parse_line_over_limit_names_length_and_limit() -> None:
    parsed = parse_line(LongLine(123_456_789, 1_048_576))

    assert isinstance(parsed, InvalidLine)
    assert parsed.code == "line_too_long"
    assert "123456789 bytes" in parsed.message
    assert "1048576" in parsed.message


@pytest.mark.parametrize("junk", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9t\xe9"])
def test_parse_line_invalid_bytes_return_invalid_utf8(junk: bytes) -> None:
    assert code_of(b'{"prompt_id": "p1", "prompt": "' + junk + b'"}') == "invalid_utf8"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_parse_line_other_encoding_with_mark_returns_invalid_utf8(encoding: str) -> None:
    assert code_of(TEXT.encode(encoding)) == "invalid_utf8"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_parse_line_other_encoding_without_mark_is_not_guessed(encoding: str) -> None:
    # Latin text in these encodings is also valid UTF-8 with many NULs, but it is never JSON.
    assert code_of(TEXT.encode(encoding)) == "invalid_json"
    assert code_of("{'prompt': '\u00fc\u4e2d\u3042'}".encode(encoding)) in {"invalid_utf8", "invalid_json"}


@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff", r"\ud800\ud800", r"\udc00\ud800", r"\ud83dx"])
@pytest.mark.parametrize("place", ["prompt_id", "prompt", "extra"])
def test_parse_line_lone_surrogate_returns_invalid_utf8(escape: str, place: str) -> None:
    fields = {"prompt_id": "p1", "prompt": "x", place: "HERE"}

    assert code_of(json.dumps(fields).replace("HERE", escape).encode()) == "invalid_utf8"


@pytest.mark.parametrize(
    "line",
    [
        rb'{"prompt_id": "\ud800", "prompt_id": "p1", "prompt": "x"}',
        rb'{"\ud800": 1, "prompt_id": "p1", "prompt": "x"}',
        rb'{"prompt_id": "\ud800", "prompt": "x", "note": ' + b"9" * 5000 + b"}",
        rb'{"prompt_id": "p1", "prompt": "\udc00", "note": ' + b"[" * 1010 + b"]" * 1010 + b"}",
        rb'{"prompt_id": "p1", "prompt": "\ud800"',
    ],
    ids=["under a duplicate key", "in a name", "before a huge number", "beside deep nesting", "in a truncated line"],
)
def test_parse_line_lone_surrogate_beside_other_error_returns_invalid_utf8(line: bytes) -> None:
    assert code_of(line) == "invalid_utf8"


def test_parse_line_surrogate_pair_is_one_character() -> None:
    assert parse_line(rb'{"prompt_id": "\ud83d\ude00", "prompt": "\ud83d\ude00"}') == Prompt("\U0001f600", "\U0001f600")


def test_parse_line_byte_order_mark_is_named() -> None:
    parsed = parse_line(b"\xef\xbb\xbf" + VALID)

    assert isinstance(parsed, InvalidLine)
    assert parsed.code == "invalid_json"
    assert "byte order mark" in parsed.message


@pytest.mark.parametrize(
    "bomb",
    [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b'{"a":[' * 50_000 + b"1" + b"]}" * 50_000],
)
def test_parse_line_nesting_bomb_returns_json_too_deep(bomb: bytes) -> None:
    assert code_of(bomb) == "json_too_deep"
    assert code_of(with_field(bomb.decode())) == "json_too_deep"


def test_parse_line_deep_nesting_below_limit_is_valid() -> None:
    assert parse_line(with_field("[" * 500 + "]" * 500)) == Prompt("p1", "x")


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "01", "+1", "1.", "0x10"]
)
def test_parse_line_invalid_number_returns_invalid_json(number: str) -> None:
    assert code_of(with_field(number)) == "invalid_json"


@pytest.mark.parametrize("number", ["1e999", "-1e309", "9" * 310])
def test_parse_line_number_over_double_range_is_named(number: str) -> None:
    parsed = parse_line(with_field(number))

    assert isinstance(parsed, InvalidLine)
    assert parsed.message == "The line holds a number too large to be read."


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"}",
        b'{"prompt_id": "p1", "prompt": "x"',
        VALID + VALID,
        VALID + b",",
        b"hello",
        b"\x00",
        b"\x1f\x8b\x08"[:1],
    ],
)
def test_parse_line_invalid_json_returns_invalid_json(line: bytes) -> None:
    assert code_of(line) == "invalid_json"


@pytest.mark.parametrize("control", ["\x00", "\t", "\x1f"])
def test_parse_line_raw_control_character_returns_invalid_json(control: str) -> None:
    assert code_of(f'{{"prompt_id": "p1", "prompt": "a{control}b"}}'.encode()) == "invalid_json"


@pytest.mark.parametrize("line", [b"null", b"true", b"1", b"-1.5", b'"text"', b"[]", b'[{"prompt_id": "a"}]'])
def test_parse_line_other_json_type_returns_not_an_object(line: bytes) -> None:
    assert code_of(line) == "not_an_object"


def test_parse_line_duplicate_key_uses_last_value() -> None:
    line = b'{"prompt_id": "first", "prompt": "one", "prompt_id": "second", "prompt": "two"}'

    assert parse_line(line) == Prompt("second", "two")


def test_parse_line_duplicate_key_validates_last_prompt_id() -> None:
    assert code_of(b'{"prompt_id": "valid", "prompt": "x", "prompt_id": 7}') == "invalid_prompt_id"
    assert code_of(b'{"prompt_id": "valid", "prompt": "x", "prompt_id": ""}') == "invalid_prompt_id"


def test_parse_line_error_does_not_repeat_text() -> None:
    canary = "the-secret-recipe"
    lines = [
        f'{{"prompt_id": "p1", "prompt": ["{canary}"]}}',
        f'{{"prompt_id": ["{canary}"], "prompt": "x"}}',
        f'{{"prompt_id": "p1", "prompt": "{canary}"',
        f'["{canary}"]',
        f'{{"prompt_id": "{canary * 100}", "prompt": "x"}}',
    ]

    for line in lines:
        assert canary not in repr(parse_line(line.encode()))


def is_well_formed(line: bytes) -> bool:
    parsed = parse_line(line)
    if isinstance(parsed, Prompt):
        return bool(parsed.prompt_id and parsed.prompt)
    return SNAKE_CASE.fullmatch(parsed.code) is not None and parsed.message.endswith(".")


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=300))
def test_parse_line_any_bytes_return_prompt_or_error(line: bytes) -> None:
    assert is_well_formed(line)


@settings(deadline=None, max_examples=500)
@given(st.integers(0, len(VALID)), st.integers(0, 5), st.binary(max_size=6))
def test_parse_line_damaged_line_returns_prompt_or_error(at: int, removed: int, put: bytes) -> None:
    assert is_well_formed(VALID[:at] + put + VALID[at + removed :])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["prompt", "prompt_id", "x"]), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(json_values)
def test_parse_line_any_json_value_returns_prompt_or_error(value: object) -> None:
    # The standard library also writes NaN, Infinity and lone surrogates, which JSON or UTF-8 forbids.
    assert is_well_formed(json.dumps(value).encode())
