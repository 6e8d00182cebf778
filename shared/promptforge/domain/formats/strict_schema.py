"""JSON Schemas in the form that a provider enforces, and the way back from its answers.

Providers enforce a subset of JSON Schema. A client's schema is rewritten into that subset, such that an answer in it
also matches the original after `drop_added_nulls`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

Schema = dict[str, Any]

MAX_DESCRIBED_CHARS = 500

SCHEMA_MAPS = ("$defs", "definitions", "properties")
SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
IGNORED = {"$anchor", "$comment", "$id", "$schema", "deprecated", "readOnly", "writeOnly"}
STRUCTURE = {"$defs", "$ref", "anyOf", "const", "definitions", "description", "enum", "items", "properties", "required"}
STRUCTURE |= {"additionalProperties", "title", "type"}
NUMBER_BOUNDS = {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}
FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"}
NULL = {"type": "null"}


class Inexpressible(ValueError):
    """A schema that the subset cannot express, such as an object with any keys."""


@dataclass(frozen=True)
class SchemaRules:
    """The subset of a provider.

    Keywords outside `keywords` become a part of the description. `closed` forbids further properties of objects.
    `all_required` requires every property, so an optional one accepts null in addition.
    """

    keywords: frozenset[str]
    formats: frozenset[str]
    closed: bool = False
    all_required: bool = False
    has_const: bool = True
    max_min_items: int | None = None


OPENAI_RULES = SchemaRules(
    frozenset(STRUCTURE | NUMBER_BOUNDS | {"format", "maxItems", "minItems", "pattern"}),
    frozenset(FORMATS),
    closed=True,
    all_required=True,
)
"""https://platform.openai.com/docs/guides/structured-outputs, also for Mistral and compatible servers."""

ANTHROPIC_RULES = SchemaRules(
    frozenset(STRUCTURE | {"allOf", "format", "minItems"}), frozenset(FORMATS | {"uri"}), closed=True, max_min_items=1
)
"""Follows `transform_schema` of the official SDK."""

GEMINI_RULES = SchemaRules(
    frozenset(STRUCTURE | {"format", "maxItems", "maximum", "minItems", "minimum", "prefixItems"}),
    frozenset(FORMATS),
    has_const=False,
)
"""https://ai.google.dev/gemini-api/docs/structured-output."""


def strict_schema(schema: Schema, rules: SchemaRules) -> Schema | None:
    """Return a schema in the subset of a provider, or None if the subset cannot express it."""
    try:
        return _cached(orjson.dumps(schema), rules)
    except (TypeError, ValueError):
        return None


def drop_added_nulls(value: Any, schema: Schema) -> Any:
    """Remove the nulls of optional properties that do not accept null in the original schema.

    Such a null stands for a missing property. The value is changed in place and returned.
    """
    pending = [(value, [schema])]
    while pending:
        node, schemas = pending.pop()
        branches = list(_branches(schemas, schema))
        if isinstance(node, list):
            items = [branch["items"] for branch in branches if isinstance(branch.get("items"), dict)]
            pending += [(item, items) for item in node]
        if not isinstance(node, dict):
            continue
        for name in list(node):
            owners = [branch for branch in branches if isinstance(_properties(branch).get(name), dict)]
            if node[name] is None and owners and all(_is_added_null(branch, name, schema) for branch in owners):
                del node[name]
            elif owners:
                pending.append((node[name], [branch["properties"][name] for branch in owners]))
    return value


@lru_cache(maxsize=64)
def _cached(content: bytes, rules: SchemaRules) -> Schema:
    schema = orjson.loads(content)
    root = schema
    if isinstance(ref := schema.get("$ref"), str):  # providers require an object at the root
        root = {**_resolve(ref, schema), **{name: value for name, value in schema.items() if name != "$ref"}}
    strict = _rewrite(root, rules, schema)
    if rules.all_required and (strict.get("type") != "object" or "anyOf" in strict):
        raise Inexpressible
    return strict


def _rewrite(schema: Any, rules: SchemaRules, root: Schema) -> Schema:
    """Return one schema and those inside it in the subset."""
    if not isinstance(schema, dict):
        raise Inexpressible
    schema = _typed(_merged(schema), rules)
    if rules.all_required and _has_unknown_parts(schema):
        raise Inexpressible
    strict: Schema = {}
    described: Schema = {}
    for given, given_value in schema.items():
        name, value = _translate(given, given_value, rules)
        if name in rules.keywords and _is_supported(name, value, rules):
            strict[name] = _rewrite_keyword(name, value, rules, root)
        elif name not in IGNORED and not (name == "default" and value is None):
            described[name] = value
    if schema.get("type") == "object" or "properties" in schema:
        _close(strict, schema, rules, root)
    if "$ref" in strict and len(strict) - ("$defs" in strict) > 1:  # a reference has no keywords beside it
        strict = {"anyOf": [{"$ref": strict.pop("$ref")}], **strict}
    if described:
        note = _describe(described)
        strict["description"] = f"{strict['description']}\n\n{note}" if "description" in strict else note
    return strict


def _translate(name: str, value: Any, rules: SchemaRules) -> tuple[str, Any]:
    """Return the keyword that a provider has for another one."""
    if name == "const" and not rules.has_const:
        return "enum", [value]
    return ("anyOf" if name == "oneOf" else name), value


def _rewrite_keyword(name: str, value: Any, rules: SchemaRules, root: Schema) -> Any:
    if name in SCHEMA_MAPS and isinstance(value, dict):
        return {key: _rewrite(one, rules, root) for key, one in value.items()}
    if name in SCHEMA_LISTS and isinstance(value, list):
        return [_rewrite(one, rules, root) for one in value]
    if name in ("items", "additionalProperties") and isinstance(value, dict) and value:
        return _rewrite(value, rules, root)
    return value


def _is_supported(name: str, value: Any, rules: SchemaRules) -> bool:
    if name == "format":
        return value in rules.formats
    if name == "minItems" and rules.max_min_items is not None:
        return bool(value <= rules.max_min_items)
    return True


def _merged(schema: Schema) -> Schema:
    """Return a schema with the one schema of an `allOf` in it."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return schema
    return {**parts[0], **{name: value for name, value in schema.items() if name != "allOf"}}


def _has_unknown_parts(schema: Schema) -> bool:
    """Whether a schema has parts that a provider without open schemas cannot check."""
    if "allOf" in schema or "prefixItems" in schema:
        return True
    return schema.get("type") == "array" and not (isinstance(schema.get("items"), dict) and schema["items"])


def _typed(schema: Schema, rules: SchemaRules) -> Schema:
    """Return a schema with a type.

    Raises Inexpressible where a provider that requires one would get none.
    """
    if any(name in schema for name in ("type", "$ref", "anyOf", "oneOf")):
        return schema
    if "allOf" in schema and "allOf" in rules.keywords:
        return schema
    values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema[n] for n in ("const",) if n in schema]
    types = {_TYPES[type(value)] for value in values if type(value) in _TYPES}
    if "properties" in schema:
        types = {"object"}
    elif "items" in schema or "prefixItems" in schema:
        types = {"array"}
    if not types:
        if rules.closed:
            raise Inexpressible
        return schema
    return {"type": min(types) if len(types) == 1 else sorted(types), **schema}


_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _close(strict: Schema, schema: Schema, rules: SchemaRules, root: Schema) -> None:
    """Forbid further properties, and require every property, if the provider requires it."""
    properties = _properties(schema)
    if not rules.closed:
        return
    is_open = schema.get("additionalProperties") is not False
    if schema.get("patternProperties") or (not properties and is_open):
        raise Inexpressible  # an object with any keys
    strict["additionalProperties"] = False
    if not rules.all_required:
        return
    required = schema.get("required") or []
    if not properties.keys() >= set(required):
        raise Inexpressible
    for name in properties:
        if name not in required and not _accepts_null(properties[name], root):
            strict["properties"][name] = _nullable(strict["properties"][name])
    strict["required"] = list(properties)
    strict.setdefault("properties", {})


def _nullable(schema: Schema) -> Schema:
    if "anyOf" in schema and schema.keys() <= {"anyOf", "description", "title"}:
        return {**schema, "anyOf": [*schema["anyOf"], NULL]}
    return {"anyOf": [schema, NULL]}


def _describe(keywords: Schema) -> str:
    texts = (f"{name}: {orjson.dumps(value).decode()}" for name, value in keywords.items())
    return "{" + ", ".join(texts)[:MAX_DESCRIBED_CHARS] + "}"


def _properties(schema: Schema) -> Schema:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _is_added_null(branch: Schema, name: str, root: Schema) -> bool:
    return name not in (branch.get("required") or ()) and not _accepts_null(branch["properties"][name], root)


def _accepts_null(schema: Any, root: Schema) -> bool:
    """Return whether a schema accepts null, in any of its branches."""
    return any(_takes_null(branch) for branch in _branches([schema], root))


def _takes_null(schema: Schema) -> bool:
    if "type" in schema:
        return schema["type"] == "null" or (isinstance(schema["type"], list) and "null" in schema["type"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum")
        return None in values if isinstance(values, list) else schema.get("const", 0) is None
    structured = ("$ref", "allOf", "anyOf", "items", "oneOf", "prefixItems", "properties")
    return not any(name in schema for name in structured)


def _branches(schemas: list[Any], root: Schema) -> Iterator[Schema]:
    """Yield the schemas, and all that they refer to or combine, each once."""
    pending, seen = list(schemas), set()
    while pending:
        schema = pending.pop()
        if not isinstance(schema, dict) or id(schema) in seen:
            continue
        seen.add(id(schema))
        yield schema
        for name in ("allOf", "anyOf", "oneOf"):
            pending += schema[name] if isinstance(schema.get(name), list) else []
        if isinstance(ref := schema.get("$ref"), str):
            try:
                pending.append(_resolve(ref, root))
            except Inexpressible:
                continue


def _resolve(ref: str, root: Schema) -> Schema:
    """Return the schema of a local reference."""
    target: Any = root
    for step in ref.removeprefix("#").split("/")[1:] if ref.startswith("#") else ["", ""]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or name not in target:
            raise Inexpressible
        target = target[name]
    if not isinstance(target, dict):
        raise Inexpressible
    return target
