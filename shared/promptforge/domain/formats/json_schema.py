"""Validation of answers that must be JSON, or JSON that matches a schema.

Clients supply the schema, so it is untrusted. It may not cause a download, and its patterns may not take exponential
time.
"""

import re
from functools import lru_cache
from typing import Any

import orjson

from promptforge.domain.formats.params import ResponseFormat

FENCE = re.compile(r"(`{3,}|~{3,})[^\n]*\n(.*?)\n?[ \t]*\1", re.DOTALL)


def schema_error(form: ResponseFormat | None) -> str | None:
    """Return why the schema of a response_format is invalid, or None."""
    if form is None or form.json_schema is None:
        return None
    try:
        _validator(orjson.dumps(form.json_schema))
    except ValueError:
        return "Invalid JSON Schema, or one with external references"
    return None


def extract_json(text: str) -> str:
    """Return the JSON value of an answer, without what models put around it.

    These are thoughts before it, a byte order mark, a code fence and sentences. An answer without exactly one JSON
    value is returned as it is.
    """
    bare = text.rpartition("</think>")[2].strip().removeprefix("\ufeff").strip()
    fences = FENCE.findall(bare)
    candidates = [bare, *([fences[0][1]] if len(fences) == 1 else [])]
    if braces := re.search(r"[{\[].*[}\]]", bare, re.DOTALL):
        candidates.append(braces[0])
    return next((candidate.strip() for candidate in candidates if _is_json(candidate)), text)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def matches_schema(form: ResponseFormat, text: str) -> bool:
    """Return whether an answer has its response_format."""
    try:
        value = orjson.loads(text)
    except ValueError:
        return False
    if form.json_schema is None:
        return isinstance(value, dict)
    return bool(_validator(orjson.dumps(form.json_schema)).is_valid(value))


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    import jsonschema_rs  # imported here, because few jobs have a schema

    def reject_reference(uri: str) -> Any:
        raise ValueError(uri)

    # RegexOptions selects the engine that does not backtrack: a pattern of a client cannot take exponential time.
    return jsonschema_rs.validator_for(
        orjson.loads(schema), retriever=reject_reference, pattern_options=jsonschema_rs.RegexOptions()
    )
