"""Validation of answers that must be JSON, or JSON that matches a schema.

Clients supply the schema, so it is untrusted. It may not cause a download, and its patterns may not take exponential
time.
"""

from functools import lru_cache
from typing import Any

import orjson

from promptforge.domain.formats.params import ResponseFormat


def schema_error(form: ResponseFormat | None) -> str | None:
    """Return why the schema of a response_format is invalid, or None."""
    if form is None or form.json_schema is None:
        return None
    try:
        _validator(orjson.dumps(form.json_schema))
    except ValueError:
        return "Invalid JSON Schema, or one with external references"
    return None


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
