"""Parameters: the bounds of each field, a line over its job, and the validation of a line."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from promptforge.domain.formats.native import InvalidLine, Prompt, parse_line, valid_prompt_ids, validation_message
from promptforge.domain.formats.params import MAX_DEPTH, LineParams, Params, unsupported_parameter
from promptforge.domain.model import Model

SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}
VALID: list[tuple[str, Any]] = [
    ("system", "Be brief."),
    ("max_tokens", 1),
    ("max_tokens", 10_000_000),
    ("max_tokens", 3.0),
    ("temperature", 0),
    ("temperature", 2),
    ("temperature", 0.7),
    ("top_p", 0.001),
    ("top_p", 1),
    ("stop", "END"),
    ("stop", ["a"] * 16),
    ("seed", -(2**63)),
    ("seed", 2**63 - 1),
    ("seed", 0),
    ("response_format", {"type": "json_object"}),
    ("response_format", SCHEMA),
    ("metadata", {}),
    ("metadata", {"a": [None, True, 1.5, "x", {"b": {}}]}),
    ("extra", {"reasoning": {"effort": "low"}}),
    *((name, None) for name in Params.model_fields),
]
INVALID: list[tuple[str, Any]] = [
    ("system", ""),
    ("system", 7),
    ("max_tokens", 0),
    ("max_tokens", 10_000_001),
    ("max_tokens", 1.5),
    ("max_tokens", "100"),
    ("max_tokens", True),
    ("temperature", -0.1),
    ("temperature", 2.1),
    ("temperature", "1"),
    ("temperature", True),
    ("top_p", 0),
    ("top_p", 1.01),
    ("stop", ""),
    ("stop", []),
    ("stop", [""]),
    ("stop", ["a"] * 17),
    ("stop", [1]),
    ("seed", 2**63),
    ("seed", -(2**63) - 1),
    ("seed", "1"),
    ("seed", 0.5),
    ("response_format", "json_object"),
    ("response_format", {}),
    ("response_format", {"type": "text"}),
    ("response_format", {"type": "json_schema"}),
    ("response_format", {"type": "json_object", "schema": {}}),
    ("response_format", SCHEMA | {"strict": True}),
    ("metadata", []),
    ("metadata", "x"),
    ("extra", ["x"]),
    ("extra", {"model": "another"}),
    ("extra", {"messages": []}),
    ("extra", {"contents": []}),
    ("extra", {"stream": True}),
]
INVALID_ON_LINE = [
    ("model", ""),
    ("model", "m" * 201),
    ("model", 1),
    ("messages", "hello"),
    ("messages", [{"role": "tool", "content": "x"}]),
    ("messages", [{"role": "user", "content": ""}]),
    ("messages", [{"role": "user", "content": "x", "name": "y"}]),
]


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def line(**fields: Any) -> bytes:
    return orjson.dumps({"prompt_id": "p1", "prompt": "Why?"} | fields)


def _writable(value: Any) -> bool:
    """Return whether orjson can serialize the value; it parses a larger integer as a float."""
    return not isinstance(value, int) or -(2**63) <= value < 2**64


@pytest.mark.parametrize(("name", "value"), VALID)
def test_params_valid_value_is_accepted_for_job_and_line(name: str, value: Any) -> None:
    params = Params.model_validate({name: value})
    parsed = parse_line(line(**{name: value}))

    assert isinstance(parsed, Prompt)
    assert parsed.params is not None
    assert getattr(parsed.params, name) == getattr(params, name)


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_params_invalid_value_is_rejected_with_field_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as rejected:
        Params.model_validate({name: value})
    parsed = parse_line(line(**{name: value})) if _writable(value) else None

    assert validation_message(rejected.value).startswith(name)
    if parsed:
        assert isinstance(parsed, InvalidLine)
        assert (parsed.code, parsed.prompt_id) == ("invalid_parameter", "p1")
        assert parsed.message.startswith(name)
        assert parsed.message.endswith(".")


@pytest.mark.parametrize(("name", "value"), INVALID_ON_LINE)
def test_parse_line_invalid_model_or_messages_returns_error(name: str, value: Any) -> None:
    fields = {"prompt_id": "p1", name: value} if name == "messages" else {"prompt_id": "p1", "prompt": "x", name: value}
    parsed = parse_line(orjson.dumps(fields))

    assert isinstance(parsed, InvalidLine)
    assert (parsed.code, parsed.prompt_id) == ("invalid_parameter", "p1")
    assert parsed.message.startswith(name)


@pytest.mark.parametrize("name", ["metadata", "extra"])
def test_parse_line_parameter_nested_over_limit_returns_error(name: str) -> None:
    assert isinstance(parse_line(line(**{name: nested(MAX_DEPTH)})), Prompt)
    for levels in (MAX_DEPTH + 1, 240):
        assert isinstance(parse_line(line(**{name: nested(levels)})), InvalidLine)
    deep = b'{"prompt_id": "p1", "prompt": "x", "%s": ' % name.encode() + b'{"a":' * 900 + b"1" + b"}" * 901
    assert isinstance(parse_line(deep), InvalidLine)


def test_params_whole_float_becomes_integer() -> None:
    params = Params.model_validate({"max_tokens": 3.0, "seed": -7.0})

    assert (params.max_tokens, params.seed) == (3, -7)
    assert type(params.max_tokens) is type(params.seed) is int


@pytest.mark.parametrize("text", ["-9223372036854775809", "18446744073709551616", "1e17", "1e300"])
def test_parse_line_seed_with_lost_digits_returns_error(text: str) -> None:
    parsed = parse_line(b'{"prompt_id": "p1", "prompt": "x", "seed": %s}' % text.encode())

    assert isinstance(parsed, InvalidLine)


def test_params_unknown_field_is_rejected_for_job_and_ignored_on_line() -> None:
    with pytest.raises(ValidationError):
        Params.model_validate({"temprature": 1})

    assert parse_line(line(temprature=1, tags=["a"])) == Prompt("p1", "Why?")


def test_merged_over_line_value_overrides_job_value() -> None:
    job = Params(system="Be brief.", temperature=1.0, stop=["a"], metadata={"of": "job"})
    own = LineParams(temperature=0.0, stop=["b"], metadata={"of": "line"}, model="other")

    merged = own.merged_over(job)

    assert merged == Params(system="Be brief.", temperature=0.0, stop=["b"], metadata={"of": "line"})


def test_parse_line_messages_replace_prompt() -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    parsed = parse_line(orjson.dumps({"prompt_id": "p1", "messages": messages}))

    assert isinstance(parsed, Prompt)
    assert parsed.prompt == ""
    assert parsed.params is not None
    assert [message.model_dump() for message in parsed.params.messages or ()] == messages


@pytest.mark.parametrize("messages", [[], None])
def test_parse_line_empty_messages_return_error(messages: object) -> None:
    parsed = parse_line(orjson.dumps({"prompt_id": "p1", "messages": messages}))

    assert isinstance(parsed, InvalidLine)
    assert parsed.code == "invalid_parameter"


def test_parse_line_prompt_and_messages_return_error() -> None:
    parsed = parse_line(line(messages=[{"role": "user", "content": "u"}]))

    assert parsed == InvalidLine("invalid_parameter", "Give prompt or messages, not both.", "p1")


@pytest.mark.parametrize(
    ("name", "value"), [*VALID, *INVALID, *INVALID_ON_LINE, ("tags", 1), ("prompt", ""), ("prompt", [])]
)
def test_valid_prompt_ids_line_with_parameters_agrees_with_parse_line(name: str, value: Any) -> None:
    rows = [{"prompt_id": "p1", "prompt": "x", name: value}, {"prompt_id": "p1", name: value}]
    lines = [orjson.dumps(row) for row in rows if _writable(value)]
    valid = [isinstance(parse_line(each), Prompt) for each in lines]

    ids, others = valid_prompt_ids(lines)

    assert ids == ["p1"] * sum(valid)
    assert others == [position for position, accepted in enumerate(valid) if not accepted]


def test_unsupported_parameter_returns_its_name() -> None:
    seeded = Params(seed=1)

    assert unsupported_parameter("anthropic", seeded) == "seed"
    assert unsupported_parameter("openai", seeded) is None
    assert unsupported_parameter("anthropic", Params(temperature=1.0)) is None


@pytest.mark.parametrize(("name", "value"), VALID)
def test_params_stored_value_is_read_back(name: str, value: Any) -> None:
    params = Params.model_validate({name: value})

    class Stored(Model):
        params: Params

    data = orjson.dumps(Stored(params=params).model_dump(mode="json"))
    assert Stored.model_validate(orjson.loads(data)).params == params
