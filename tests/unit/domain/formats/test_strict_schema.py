import json
from copy import deepcopy
from typing import Any

import pytest

from promptforge.domain.formats.json_schema import matches_schema
from promptforge.domain.formats.params import ResponseFormat
from promptforge.domain.formats.strict_schema import (
    ANTHROPIC_RULES,
    GEMINI_RULES,
    OPENAI_RULES,
    SchemaRules,
    drop_added_nulls,
    strict_schema,
)

TEXT = {"type": "string"}
NULL = {"type": "null"}
ALL_RULES = [OPENAI_RULES, ANTHROPIC_RULES, GEMINI_RULES]


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def is_fine(schema: dict[str, Any], value: Any) -> bool:
    response_format = ResponseFormat.model_validate({"type": "json_schema", "schema": schema})
    return matches_schema(response_format, json.dumps(value))


@pytest.mark.parametrize("rules", ALL_RULES)
def test_schema_in_the_subset_is_unchanged(rules: SchemaRules) -> None:
    schema = an_object(
        a=TEXT,
        b={"type": "array", "items": {"type": "integer"}, "description": "Numbers."},
        c={"anyOf": [an_object(d={"type": "string", "enum": ["x", "y"]}), NULL]},
    )

    assert strict_schema(schema, rules) == schema


@pytest.mark.parametrize("rules", ALL_RULES)
def test_original_schema_is_not_changed(rules: SchemaRules) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 3}, "b": {"oneOf": [TEXT, NULL]}}}
    before = deepcopy(schema)

    strict_schema(schema, rules)

    assert schema == before


def test_openai_optional_property_is_required_and_may_be_null() -> None:
    schema = {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer"}}, "required": ["a"]}

    assert strict_schema(schema, OPENAI_RULES) == an_object(a=TEXT, b={"anyOf": [{"type": "integer"}, NULL]})


def test_openai_optional_property_that_accepts_null_is_unchanged() -> None:
    properties = {
        "a": {"anyOf": [TEXT, NULL]},
        "b": {"type": ["string", "null"]},
        "c": {"enum": ["x", None], "type": ["string", "null"]},
    }

    assert strict_schema({"type": "object", "properties": properties}, OPENAI_RULES) == an_object(**properties)


def test_openai_nested_objects_are_closed() -> None:
    inner = {"type": "object", "properties": {"x": TEXT}}
    schema = {
        "type": "object",
        "properties": {"a": inner, "b": {"type": "array", "items": inner}, "c": {"$ref": "#/$defs/inner"}},
        "required": ["a", "b", "c"],
        "$defs": {"inner": inner},
    }
    closed = an_object(x={"anyOf": [TEXT, NULL]})

    expected = an_object(a=closed, b={"type": "array", "items": closed}, c={"$ref": "#/$defs/inner"})
    assert strict_schema(schema, OPENAI_RULES) == expected | {"$defs": {"inner": closed}}


def test_openai_other_keywords_become_a_description() -> None:
    word = {"type": "string", "description": "A word.", "minLength": 3, "format": "word", "default": "abc"}
    schema = an_object(a=word, b={"type": "integer", "minimum": 1, "default": None, "$comment": "x"})

    assert strict_schema(schema, OPENAI_RULES) == an_object(
        a={"type": "string", "description": 'A word.\n\n{minLength: 3, format: "word", default: "abc"}'},
        b={"type": "integer", "minimum": 1},
    )


def test_openai_root_reference_is_resolved() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}}, "required": ["next"]}

    strict = strict_schema({"$ref": "#/$defs/Node", "$defs": {"Node": node}}, OPENAI_RULES)

    assert strict == node | {"additionalProperties": False, "$defs": {"Node": node | {"additionalProperties": False}}}


def test_openai_reference_with_other_keywords_is_wrapped() -> None:
    schema = {**an_object(a={"$ref": "#/$defs/T", "description": "One."}), "$defs": {"T": TEXT}}

    strict = strict_schema(schema, OPENAI_RULES)

    assert strict is not None
    assert strict["properties"]["a"] == {"anyOf": [{"$ref": "#/$defs/T"}], "description": "One."}


def test_openai_optional_reference_may_be_null() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/T"}}, "$defs": {"T": TEXT}}

    strict = strict_schema(schema, OPENAI_RULES)

    assert strict is not None
    assert strict["properties"]["a"] == {"anyOf": [{"$ref": "#/$defs/T"}, NULL]}


def test_openai_single_all_of_is_merged_and_one_of_becomes_any_of() -> None:
    schema = an_object(a={"allOf": [TEXT], "description": "One."}, b={"oneOf": [TEXT, {"type": "integer"}]})

    assert strict_schema(schema, OPENAI_RULES) == an_object(
        a={"type": "string", "description": "One."}, b={"anyOf": [TEXT, {"type": "integer"}]}
    )


def test_openai_missing_type_is_added() -> None:
    schema = an_object(a={"const": "x"}, b={"enum": [1, "x"]}, c={"properties": {"d": TEXT}, "required": ["d"]})

    assert strict_schema(schema, OPENAI_RULES) == an_object(
        a={"type": "string", "const": "x"}, b={"type": ["integer", "string"], "enum": [1, "x"]}, c=an_object(d=TEXT)
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": TEXT},
        {"anyOf": [an_object(a=TEXT), an_object(b=TEXT)]},
        {"type": "object"},
        {"type": "object", "additionalProperties": TEXT},
        an_object(a={"type": "object", "additionalProperties": {"type": "integer"}}),
        an_object(a={"type": "object", "patternProperties": {"^x": TEXT}, "properties": {"b": TEXT}}),
        an_object(a={}),
        an_object(a=True),
        an_object(a={"type": "array"}),
        an_object(a={"type": "array", "items": {}}),
        an_object(a={"type": "array", "items": True}),
        an_object(a={"type": "array", "prefixItems": [TEXT]}),
        an_object(a={"type": "object", "allOf": [an_object(b=TEXT), an_object(c=TEXT)]}),
        an_object(a={"description": "Anything."}),
        {"type": "object", "properties": {"a": TEXT}, "required": ["b"]},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema"},
        {},
    ],
)
def test_openai_schema_outside_the_subset_is_not_strict(schema: dict[str, Any]) -> None:
    assert strict_schema(schema, OPENAI_RULES) is None


def test_anthropic_objects_are_closed_and_optional_properties_stay_optional() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": TEXT, "b": {"type": "integer", "minimum": 1}, "c": {"type": "array", "items": TEXT}},
        "required": ["a"],
    }

    assert strict_schema(schema, ANTHROPIC_RULES) == {
        "type": "object",
        "properties": {
            "a": TEXT,
            "b": {"type": "integer", "description": "{minimum: 1}"},
            "c": schema["properties"]["c"],
        },
        "required": ["a"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(("count", "kept"), [(0, True), (1, True), (2, False)])
def test_anthropic_keeps_small_minimums_of_items(count: int, kept: bool) -> None:
    strict = strict_schema(an_object(a={"type": "array", "items": TEXT, "minItems": count}), ANTHROPIC_RULES)

    assert strict is not None
    assert ("minItems" in strict["properties"]["a"]) is kept


def test_gemini_objects_stay_open() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {"const": "x"}, "b": {"type": "object", "additionalProperties": TEXT}, "c": {}},
        "required": ["a"],
    }

    assert strict_schema(schema, GEMINI_RULES) == {
        "type": "object",
        "properties": {"a": {"type": "string", "enum": ["x"]}, "b": schema["properties"]["b"], "c": {}},
        "required": ["a"],
    }


def test_description_of_keywords_is_bounded() -> None:
    strict = strict_schema(an_object(a={"type": "string", "x-note": "n" * 10_000}), OPENAI_RULES)

    assert strict is not None
    assert len(strict["properties"]["a"]["description"]) < 1000


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (
            {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a"]},
            {"a": "x", "b": None},
            {"a": "x"},
        ),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, {"a": None}, {"a": None}),
        ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}, {"a": None}, {"a": None}),
        ({"type": "object", "properties": {"a": {"anyOf": [TEXT, NULL]}}}, {"a": None}, {"a": None}),
        ({"type": "object", "properties": {"a": {}}}, {"a": None}, {"a": None}),
        ({"type": "object", "properties": {"a": TEXT}}, {"other": None}, {"other": None}),
        (
            {"type": "array", "items": {"type": "object", "properties": {"a": TEXT}}},
            [{"a": None}, {"a": "x"}],
            [{}, {"a": "x"}],
        ),
        (
            {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}}}},
            {"n": {"n": {"n": None}}},
            {"n": {"n": {}}},
        ),
        (
            {"anyOf": [{"type": "object", "properties": {"a": TEXT}}, NULL]},
            {"a": None},
            {},
        ),
        (TEXT, None, None),
        ({"$ref": "#/$defs/missing"}, {"a": None}, {"a": None}),
    ],
)
def test_added_nulls_are_dropped(schema: dict[str, Any], value: Any, expected: Any) -> None:
    assert drop_added_nulls(value, schema) == expected


def test_answer_in_strict_form_matches_the_original_after_nulls_are_dropped() -> None:
    address = {
        "type": "object",
        "properties": {"city": TEXT, "zip": {"type": "string", "minLength": 5}},
        "required": ["city"],
    }
    schema = {
        "type": "object",
        "properties": {"name": TEXT, "age": {"type": "integer"}, "homes": {"type": "array", "items": address}},
        "required": ["name"],
    }
    strict = strict_schema(schema, OPENAI_RULES)
    value = {"name": "A", "age": None, "homes": [{"city": "B", "zip": None}, {"city": "C", "zip": "12345"}]}
    assert strict is not None

    assert is_fine(strict, value)
    assert not is_fine(schema, value)
    assert is_fine(schema, drop_added_nulls(value, schema))


def test_references_that_branch_often_take_little_time() -> None:
    steps = 200
    definitions: dict[str, Any] = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(steps)}
    definitions[f"a{steps}"] = {"type": "object", "properties": {"x": TEXT}}
    schema = {"$defs": definitions, "$ref": "#/$defs/a0"}

    assert drop_added_nulls({"x": None}, schema) == {}


def test_deep_value_is_read() -> None:
    schema = {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}}}}
    value: Any = None
    for _ in range(5000):
        value = {"n": value}

    node = drop_added_nulls(value, schema)
    for _ in range(4999):
        node = node["n"]

    assert node == {}
