"""The body of a reply: parsed as the official SDKs do, and described for the log without its text."""

import json
import re
from typing import Any

import orjson

MAX_LOGGED_KEYS = 20
LOGGED_KEY = re.compile(r"[A-Za-z_]{1,40}")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_json(content: bytes) -> Any:
    """Return the JSON value of a body, or None if it has none.

    The second parser is slower and accepts the same as the SDKs: a byte order mark, UTF-16, UTF-32, NaN and Infinity.
    Half of a surrogate pair becomes U+FFFD.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        pass
    try:
        return _replace_half_surrogates(json.loads(content))
    except (ValueError, RecursionError):
        return None


def is_markup(content: bytes) -> bool:
    """Return whether a body is a web page or XML."""
    return content.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == b"<"


def describe_shape(value: Any) -> str:
    """Return the keys and types of a value, two levels deep.

    A key that is no plain word is left out: it may contain text of a client.
    """
    if not isinstance(value, dict):
        first = value[0] if isinstance(value, list) and value else None
        return f"[{_type_name(first)}]" if first is not None else _type_name(value)
    keys = [key for key in value if LOGGED_KEY.fullmatch(key)][:MAX_LOGGED_KEYS]
    return ", ".join(f"{key}: {_describe_child(value[key])}" for key in keys) or "object"


def _describe_child(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {len(value)} ({_type_name(value[0])})" if value else "empty list"
    if isinstance(value, dict):
        keys = [key for key in value if LOGGED_KEY.fullmatch(key)][:MAX_LOGGED_KEYS]
        return "{" + ", ".join(f"{key}: {_type_name(value[key])}" for key in keys) + "}"
    return _type_name(value)


def _type_name(value: Any) -> str:
    names = {type(None): "null", bool: "boolean", dict: "object", list: "list", str: "string"}
    return names.get(type(value), "number")


def _replace_half_surrogates(value: Any) -> Any:
    """Return the value with U+FFFD for each half of a surrogate pair: no encoder accepts a text with one."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii():
        return value
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
