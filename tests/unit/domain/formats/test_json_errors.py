"""The column and the reason of a line that is not valid JSON."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.formats.native import InvalidLine, parse_line

TEXTS = [
    ("{'prompt_id': 'x'}", 2, "single quotes"),
    ("{\u201cprompt_id\u201d: 1}", 2, "curly quotes"),
    ("{`prompt_id`: 1}", 2, "backquotes"),
    ('{prompt_id: "x"}', 2, "name of a field without double quotes"),
    ('{1: "x"}', 2, "name of a field without double quotes"),
    ('{"a": 1,}', 8, "trailing comma"),
    ('{"a": [1,]}', 9, "trailing comma"),
    ('{"a": 1,, "b": 2}', 9, "comma without a field"),
    ('{"a" 1}', 6, "missing colon"),
    ('{"a": }', 7, "missing value"),
    ('{"a": 1 "b": 2}', 9, "missing comma or closing bracket"),
    ('{"a": [1}', 9, "missing comma or closing bracket"),
    ('{"a": "say "hi" now"}', 13, "a double quote in a string"),
    ('{"a": 1}{"a": 2}', 9, "two objects on one line"),
    ('{"a": 1} {"a": 2}', 10, "two objects on one line"),
    ('{"a": 1}, {"a": 2}', 9, "two objects on one line"),
    ('{"a": 1},', 9, "comma after the object"),
    ('{"a": 1}}', 9, "closing bracket without an opening one"),
    ('{"a": 1} x', 10, "text after the end of the value"),
    ('{"a": 1} // x', 10, "comment"),
    ('{"a": 1, /* x */ "b": 2}', 10, "comment"),
    ("# x", 1, "comment"),
    ('{"a": NaN}', 7, "NaN is no JSON value; write null"),
    ('{"a": -Infinity}', 8, "-Infinity is no JSON value; write null"),
    ('{"a": nan}', 7, "nan is no JSON value; write null"),
    ('{"a": None}', 7, "None is no JSON value; write null"),
    ('{"a": undefined}', 7, "undefined is no JSON value; write null"),
    ('{"a": True}', 7, "True is no JSON value; write true"),
    ('{"a": 01}', 7, "invalid number"),
    ('{"a": +1}', 7, "invalid number"),
    ('{"a": 1.}', 9, "invalid number"),
    ('{"a": 1_000}', 8, "invalid number"),
    ('{"a": 0x10}', 8, "invalid number"),
    ('{"a": "x\ty"}', 9, "control character U+0009"),
    ('{"\u00e9": "x\x00y"}', 9, "control character U+0000"),
    ('\x00{"a": 1}', 1, "control character U+0000"),
    (r'{"a": "\x41"}', 8, "invalid escape"),
    (r'{"a": "C:\work"}', 10, "invalid escape"),
    ('{"a": "x', 9, "unterminated string that begins at column 7"),
    (r'{"a": "b", "c": "C:\"}', 23, "unterminated string that begins at column 17"),
    ('{"a": 1', 8, "the line ends before the value is complete"),
    ("[", 2, "the line ends before the value is complete"),
    ("hello", 1, "the line does not begin with a JSON value"),
    ('{"a": hello}', 7, "text without double quotes"),
]


@pytest.mark.parametrize(("text", "column", "reason"), TEXTS)
def test_parse_line_invalid_json_message_has_column_and_reason(text: str, column: int, reason: str) -> None:
    parsed = parse_line(text.encode())

    assert isinstance(parsed, InvalidLine)
    assert parsed.code == "invalid_json"
    assert parsed.message.startswith(f"Invalid JSON at column {column}: ")
    assert reason in parsed.message
    assert parsed.message.endswith(".")


SECRET = "zxqjvk"
VALID = '{"prompt_id": "zxqjvk", "prompt": "zxqjvk zxqjvk", "zxqjvk": [1, {"zxqjvk": true}]}'


@settings(deadline=None, max_examples=400)
@given(
    st.integers(0, len(VALID)),
    st.integers(0, 30),
    st.sampled_from(["", "'", ",", "}", "\\", "\t", "NaN ", "{", "zxqjvk", '"zxqjvk', "//", "+", "\u201c", "\udfff"]),
)
def test_parse_line_damaged_line_message_never_contains_the_text(at: int, removed: int, put: str) -> None:
    parsed = parse_line((VALID[:at] + put + VALID[at + removed :]).encode(errors="surrogatepass"))

    if isinstance(parsed, InvalidLine):
        assert not any(SECRET[start : start + 3] in parsed.message for start in range(4))
        assert len(parsed.message) < 200
