"""Answers that must be JSON, or JSON of a certain shape. The schema is a client's: it may not make us fetch anything,
nor keep us busy with a pattern that takes exponential time."""

from functools import lru_cache
from typing import Any

import orjson

from promptforge.domain.formats.params import ResponseFormat


def schema_error(form: ResponseFormat | None) -> str | None:
    """What is wrong with a response_format's schema, if something is."""
    if form is None or form.json_schema is None:
        return None
    try:
        _validator(orjson.dumps(form.json_schema))
    except ValueError:
        return "Not a valid JSON Schema, or one with references to elsewhere"
    return None


def matches_schema(form: ResponseFormat, text: str) -> bool:
    """Whether an answer is what its response_format asks for."""
    try:
        value = orjson.loads(text)
    except ValueError:
        return False
    if form.json_schema is None:
        return isinstance(value, dict)
    return bool(_validator(orjson.dumps(form.json_schema)).is_valid(value))


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    import jsonschema_rs  # only jobs that ask for a schema need it

    def refuse(uri: str) -> Any:
        raise ValueError(uri)

    # its other engine backtracks
    return jsonschema_rs.validator_for(
        orjson.loads(schema), retriever=refuse, pattern_options=jsonschema_rs.RegexOptions()
    )
