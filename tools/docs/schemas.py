"""JSON Schemas as table rows and as example values."""

from collections.abc import Iterator
from typing import Any

from tools.docs.descriptions import DESCRIPTIONS, EXAMPLES
from tools.docs.markdown import code

Json = dict[str, Any]
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches `{}`",
}
NOT_EMPTY = ("minLength", 1)


class Undocumented(Exception):
    """A field has no description or no example, neither in its model nor in `tools/docs/descriptions.py`."""


def field_rows(model: str, schema: Json) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the type and the description of each field of a model."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        notes = [describe(model, name, field), *_notes(field, name in required)]
        yield code(name), type_name(field), " ".join(notes)


def describe(model: str, name: str, field: Json) -> str:
    """Return the description of a field: the one in its schema, else the one written here."""
    text = field.get("description") or DESCRIPTIONS.get(model, {}).get(name) or DESCRIPTIONS["*"].get(name)
    if not text:
        raise Undocumented(f"{model}.{name} has no description")
    return str(text)


def type_name(schema: Json) -> str:
    """Return the type in words, with links to models."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(type_name(option) for option in options))
    if "enum" in schema:
        return " or ".join(map(code, schema["enum"]))
    if "const" in schema:
        return code(schema["const"])
    if schema.get("type") == "array":
        return f"array of {type_name(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _notes(field: Json, required: bool) -> Iterator[str]:
    if required:
        yield "Required."
    elif field.get("default") is not None:
        yield f"Default: {code(field['default'])}."
    for part in (field, *field.get("anyOf", ())):
        limits = [
            "not empty" if (key, part[key]) == NOT_EMPTY else text.format(part[key]) for key, text in _bounds(part)
        ]
        if limits:
            yield f"Limits: {', '.join(limits)}."


def _bounds(part: Json) -> list[tuple[str, str]]:
    return [(key, text) for key, text in BOUNDS.items() if key in part]


def example(model: str, schema: Json, definitions: Json, only_required: bool = False) -> Json:
    """Return an example of a model, with every field or with the required ones."""
    names = schema.get("required", ()) if only_required else schema.get("properties", {})
    return {name: _value(model, name, schema["properties"][name], definitions) for name in names}


def _value(model: str, name: str, field: Json, definitions: Json) -> object:
    for known in (EXAMPLES.get(model, {}), EXAMPLES["*"]):
        if name in known:
            return known[name]
    for key in ("examples", "example", "const", "enum", "default"):
        if key in field:
            value = field[key]
            return value[0] if key in ("examples", "enum") else value
    if "$ref" in field:
        target = field["$ref"].rpartition("/")[2]
        return example(target, definitions[target], definitions)
    if field.get("type") == "array" and "$ref" in field.get("items", {}):
        return [_value(model, "", field["items"], definitions)]
    raise Undocumented(f"{model}.{name} has no example")
