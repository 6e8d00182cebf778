import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.formats.lines import LongLine
from promptforge.domain.formats.native import InvalidLine, Prompt, is_blank, parse_line

GOOD = b'{"prompt_id": "p1", "prompt": "Why is the sky blue?"}'
TEXT = GOOD.decode()
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def code_of(line: bytes) -> str:
    judged = parse_line(line)
    assert isinstance(judged, InvalidLine)
    return judged.code


def with_field(json_text: str) -> bytes:
    return f'{{"prompt_id": "p1", "prompt": "x", "note": {json_text}}}'.encode()


def test_a_good_line_is_a_prompt() -> None:
    assert parse_line(GOOD) == Prompt("p1", "Why is the sky blue?")


def test_the_carriage_return_of_a_windows_line_is_no_part_of_the_prompt() -> None:
    assert parse_line(GOOD + b"\r") == Prompt("p1", "Why is the sky blue?")


def test_unknown_fields_are_ignored() -> None:
    assert parse_line(with_field('{"deep": [1, null, true]}')) == Prompt("p1", "x")


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x7f", "\U0010ffff", "\ufeff", "\u202e"])
def test_unusual_characters_in_the_text_are_text(character: str) -> None:
    line = json.dumps({"prompt_id": "p1", "prompt": f"a{character}b"}, ensure_ascii=False).encode()

    assert parse_line(line) == Prompt("p1", f"a{character}b")


@pytest.mark.parametrize("blank", [b"", b" ", b"\t  ", b"\r", b" \r", b"\x0b\x0c"])
def test_white_space_alone_is_a_blank_line(blank: bytes) -> None:
    assert is_blank(blank)


@pytest.mark.parametrize("line", [GOOD, b"x", b"\x00", b"\xef\xbb\xbf", "\u2028".encode(), LongLine(5, 4)])
def test_anything_else_is_not_a_blank_line(line: bytes) -> None:
    assert not is_blank(line)


def test_a_line_over_the_limit_is_told_its_length_and_the_limit() -> None:
    judged = parse_line(LongLine(123_456_789, 1_048_576))

    assert isinstance(judged, InvalidLine)
    assert judged.code == "line_too_long"
    assert "123456789 bytes" in judged.message
    assert "1048576" in judged.message


@pytest.mark.parametrize("junk", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9t\xe9"])
def test_bytes_that_are_not_utf8_are_named_so(junk: bytes) -> None:
    assert code_of(b'{"prompt_id": "p1", "prompt": "' + junk + b'"}') == "invalid_utf8"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_unicode_encoding_with_its_mark_is_not_utf8(encoding: str) -> None:
    assert code_of(TEXT.encode(encoding)) == "invalid_utf8"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_another_unicode_encoding_without_its_mark_is_never_guessed(encoding: str) -> None:
    # Latin text in these is also well-formed UTF-8, full of NULs: what it cannot be is JSON.
    assert code_of(TEXT.encode(encoding)) == "invalid_json"
    assert code_of("{'prompt': '\u00fc\u4e2d\u3042'}".encode(encoding)) in {"invalid_utf8", "invalid_json"}


@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff", r"\ud800\ud800", r"\udc00\ud800", r"\ud83dx"])
@pytest.mark.parametrize("place", ["prompt_id", "prompt", "extra"])
def test_half_of_a_surrogate_pair_cannot_be_answered(escape: str, place: str) -> None:
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
    ids=["under a repeated key", "in a name", "before a huge number", "beside deep nesting", "in a cut line"],
)
def test_half_of_a_surrogate_pair_is_found_whatever_else_the_line_holds(line: bytes) -> None:
    assert code_of(line) == "invalid_utf8"


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse_line(rb'{"prompt_id": "\ud83d\ude00", "prompt": "\ud83d\ude00"}') == Prompt("\U0001f600", "\U0001f600")


def test_a_byte_order_mark_in_the_middle_of_the_file_is_named() -> None:
    judged = parse_line(b"\xef\xbb\xbf" + GOOD)

    assert isinstance(judged, InvalidLine)
    assert judged.code == "invalid_json"
    assert "byte order mark" in judged.message


@pytest.mark.parametrize(
    "bomb",
    [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b'{"a":[' * 50_000 + b"1" + b"]}" * 50_000],
)
def test_a_nesting_bomb_costs_its_line_only(bomb: bytes) -> None:
    assert code_of(bomb) == "json_too_deep"
    assert code_of(with_field(bomb.decode())) == "json_too_deep"


def test_nesting_that_is_merely_deep_is_read() -> None:
    assert parse_line(with_field("[" * 500 + "]" * 500)) == Prompt("p1", "x")


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "01", "+1", "1.", "0x10"]
)
def test_what_json_does_not_call_a_number_is_refused(number: str) -> None:
    assert code_of(with_field(number)) == "invalid_json"


@pytest.mark.parametrize("number", ["1e999", "-1e309", "9" * 310])
def test_a_number_that_json_allows_but_no_double_can_hold_is_named(number: str) -> None:
    judged = parse_line(with_field(number))

    assert isinstance(judged, InvalidLine)
    assert judged.message == "The line holds a number too large to be read."


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"}",
        b'{"prompt_id": "p1", "prompt": "x"',
        GOOD + GOOD,
        GOOD + b",",
        b"hello",
        b"\x00",
        b"\x1f\x8b\x08"[:1],
    ],
)
def test_what_is_not_json_is_refused(line: bytes) -> None:
    assert code_of(line) == "invalid_json"


@pytest.mark.parametrize("control", ["\x00", "\t", "\x1f"])
def test_a_raw_control_character_in_a_string_is_not_json(control: str) -> None:
    assert code_of(f'{{"prompt_id": "p1", "prompt": "a{control}b"}}'.encode()) == "invalid_json"


@pytest.mark.parametrize("line", [b"null", b"true", b"1", b"-1.5", b'"text"', b"[]", b'[{"prompt_id": "a"}]'])
def test_a_line_that_is_no_object_is_named_so(line: bytes) -> None:
    assert code_of(line) == "not_an_object"


def test_of_a_repeated_key_the_last_one_counts() -> None:
    line = b'{"prompt_id": "first", "prompt": "one", "prompt_id": "second", "prompt": "two"}'

    assert parse_line(line) == Prompt("second", "two")


def test_a_repeated_key_cannot_slip_past_the_check_of_the_id() -> None:
    assert code_of(b'{"prompt_id": "good", "prompt": "x", "prompt_id": 7}') == "invalid_prompt_id"
    assert code_of(b'{"prompt_id": "good", "prompt": "x", "prompt_id": ""}') == "invalid_prompt_id"


def test_the_verdict_never_repeats_the_text_of_the_line() -> None:
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


def judged_well(line: bytes) -> bool:
    judged = parse_line(line)
    if isinstance(judged, Prompt):
        return bool(judged.prompt_id and judged.prompt)
    return SNAKE_CASE.fullmatch(judged.code) is not None and judged.message.endswith(".")


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=300))
def test_any_bytes_are_judged_and_never_raise(line: bytes) -> None:
    assert judged_well(line)


@settings(deadline=None, max_examples=500)
@given(st.integers(0, len(GOOD)), st.integers(0, 5), st.binary(max_size=6))
def test_any_damage_to_a_good_line_is_judged(at: int, removed: int, put: bytes) -> None:
    assert judged_well(GOOD[:at] + put + GOOD[at + removed :])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["prompt", "prompt_id", "x"]), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(json_values)
def test_any_json_value_is_judged(value: object) -> None:
    # The standard library writes what JSON forbids too: NaN, Infinity and lone surrogates.
    assert judged_well(json.dumps(value).encode())
