"""Why a text is not valid JSON: a column and a reason, without a quotation of the text, which may be confidential.

The parser gives the position and its expectation. The characters there show the usual mistakes.
"""

import re

STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)
COMMENT = re.compile(r"//|/\*|#")
LITERAL = re.compile(r"[-+]?\b(nan|inf|infinity|none|nil|undefined|n/?a|true|false|null)\b", re.IGNORECASE)
"""Literals of other languages."""
NUMBER = "invalid number; it requires digits around a point, and no leading zero, plus or separator"
QUOTES = (
    {"'": "single quotes"}
    | dict.fromkeys("\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb", "curly quotes")
    | {"`": "backquotes"}
)


def json_error_reason(text: str, position: int, expectation: str) -> str:
    """Return the reason that belongs to a position, where the parser stopped with its expectation."""
    rest = text[position:]
    if not rest:
        return _early_end(text)
    if "control" in expectation or rest < " ":
        return f"control character U+{ord(rest[0]):04X}; write it as an escape, such as \\n or \\t"
    if "after document" in expectation:
        return _text_after_value(rest)
    if "escape" in expectation:
        return "invalid escape in a string; write a backslash as \\\\"
    if "trailing comma" in expectation:
        return "trailing comma; remove it"
    if COMMENT.match(rest):
        return "comment; JSON has no comments"
    sign = position - (position > 0 and text[position - 1] in "+-")
    if literal := LITERAL.match(text, sign):
        lower = literal[0].lower()
        return f"{literal[0]} is no JSON value; write {lower if lower in ('true', 'false') else 'null'}"
    if rest[0] in QUOTES:
        return f"{QUOTES[rest[0]]}; JSON requires double quotes"
    return _unexpected(text[:position].rstrip(), rest, expectation)


def _early_end(text: str) -> str:
    """Return the reason of a text that ends too early."""
    start = next((match.start() for match in STRING.finditer(text) if not match[1]), None)
    if start is None:
        return "the line ends before the value is complete; each object requires a line of its own"
    return f"unterminated string that begins at column {start + 1}; write a line break in a string as \\n"


def _text_after_value(rest: str) -> str:
    if re.match(r",?\s*{", rest):
        return "two objects on one line; write one object per line"
    if rest.strip() == ",":
        return "comma after the object; lines need no comma between them"
    if COMMENT.match(rest):
        return "comment; JSON has no comments"
    if rest[0] in "}]":
        return "closing bracket without an opening one"
    return "text after the end of the value"


def _unexpected(before: str, rest: str, expectation: str) -> str:
    if "zero" in expectation or "digit" in expectation:
        return NUMBER
    if "string key" in expectation:
        return "comma without a field" if rest[0] == "," else "name of a field without double quotes"
    if "':'" in expectation:
        return "missing colon after the name of a field"
    if "','" in expectation:
        if before.endswith('"') and rest[0] != '"':
            return 'missing comma, or a double quote in a string that is not written as \\"'
        if before[-1:].isdigit() and (rest[0].isalnum() or rest[0] in "_."):
            return NUMBER
        return "missing comma or closing bracket"
    if not before:
        return "the line does not begin with a JSON value"
    return "missing value" if rest[0] in ",:}]" else "text without double quotes"
