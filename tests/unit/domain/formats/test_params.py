"""What may be said besides the prompt: each field's bounds, a line over its job, and the verdict on a line."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from promptforge.domain.formats.native import InvalidLine, Prompt, parse_line, valid_prompt_ids, validation_message
from promptforge.domain.formats.params import MAX_DEPTH, LineParams, Params, unsupported_parameter
from promptforge.domain.model import Model

SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}
GOOD: list[tuple[str, Any]] = [
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
BAD: list[tuple[str, Any]] = [
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
BAD_LINE = [
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
    """Whether orjson writes it; what it reads beyond that is a float."""
    return not isinstance(value, int) or -(2**63) <= value < 2**64


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_a_good_parameter_is_taken_by_a_job_and_by_a_line(name: str, value: Any) -> None:
    params = Params.model_validate({name: value})
    judged = parse_line(line(**{name: value}))

    assert isinstance(judged, Prompt)
    assert judged.params is not None
    assert getattr(judged.params, name) == getattr(params, name)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_parameter_is_refused_by_its_name_and_without_its_value(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Params.model_validate({name: value})
    judged = parse_line(line(**{name: value})) if _writable(value) else None

    assert validation_message(refused.value).startswith(name)
    if judged:
        assert isinstance(judged, InvalidLine)
        assert (judged.code, judged.prompt_id) == ("invalid_parameter", "p1")
        assert judged.message.startswith(name)
        assert judged.message.endswith(".")


@pytest.mark.parametrize(("name", "value"), BAD_LINE)
def test_a_bad_model_or_conversation_costs_only_its_line(name: str, value: Any) -> None:
    fields = {"prompt_id": "p1", name: value} if name == "messages" else {"prompt_id": "p1", "prompt": "x", name: value}
    judged = parse_line(orjson.dumps(fields))

    assert isinstance(judged, InvalidLine)
    assert (judged.code, judged.prompt_id) == ("invalid_parameter", "p1")
    assert judged.message.startswith(name)


@pytest.mark.parametrize("name", ["metadata", "extra"])
def test_what_nests_too_deep_to_be_written_again_is_refused(name: str) -> None:
    assert isinstance(parse_line(line(**{name: nested(MAX_DEPTH)})), Prompt)
    for levels in (MAX_DEPTH + 1, 240):
        assert isinstance(parse_line(line(**{name: nested(levels)})), InvalidLine)
    deep = b'{"prompt_id": "p1", "prompt": "x", "%s": ' % name.encode() + b'{"a":' * 900 + b"1" + b"}" * 901
    assert isinstance(parse_line(deep), InvalidLine)


def test_3_0_is_3() -> None:
    params = Params.model_validate({"max_tokens": 3.0, "seed": -7.0})

    assert (params.max_tokens, params.seed) == (3, -7)
    assert type(params.max_tokens) is type(params.seed) is int


@pytest.mark.parametrize("text", ["-9223372036854775809", "18446744073709551616", "1e17", "1e300"])
def test_a_seed_that_lost_digits_when_it_was_read_is_refused(text: str) -> None:
    judged = parse_line(b'{"prompt_id": "p1", "prompt": "x", "seed": %s}' % text.encode())

    assert isinstance(judged, InvalidLine)


def test_a_job_refuses_a_field_that_it_does_not_know_and_a_line_ignores_it() -> None:
    with pytest.raises(ValidationError):
        Params.model_validate({"temprature": 1})

    assert parse_line(line(temprature=1, tags=["a"])) == Prompt("p1", "Why?")


def test_a_lines_value_stands_in_place_of_its_jobs() -> None:
    job = Params(system="Be brief.", temperature=1.0, stop=["a"], metadata={"of": "job"})
    own = LineParams(temperature=0.0, stop=["b"], metadata={"of": "line"}, model="other")

    both = own.merged_over(job)

    assert both == Params(system="Be brief.", temperature=0.0, stop=["b"], metadata={"of": "line"})


def test_a_conversation_stands_in_place_of_the_prompt() -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    judged = parse_line(orjson.dumps({"prompt_id": "p1", "messages": turns}))

    assert isinstance(judged, Prompt)
    assert judged.prompt == ""
    assert judged.params is not None
    assert [message.model_dump() for message in judged.params.messages or ()] == turns


@pytest.mark.parametrize("messages", [[], None])
def test_a_conversation_has_a_message(messages: object) -> None:
    judged = parse_line(orjson.dumps({"prompt_id": "p1", "messages": messages}))

    assert isinstance(judged, InvalidLine)
    assert judged.code == "invalid_parameter"


def test_a_prompt_and_a_conversation_are_one_too_many() -> None:
    judged = parse_line(line(messages=[{"role": "user", "content": "u"}]))

    assert judged == InvalidLine("invalid_parameter", "Give prompt or messages, not both.", "p1")


@pytest.mark.parametrize(("name", "value"), [*GOOD, *BAD, *BAD_LINE, ("tags", 1), ("prompt", ""), ("prompt", [])])
def test_the_splitter_and_the_worker_judge_a_line_alike(name: str, value: Any) -> None:
    rows = [{"prompt_id": "p1", "prompt": "x", name: value}, {"prompt_id": "p1", name: value}]
    lines = [orjson.dumps(row) for row in rows if _writable(value)]
    verdicts = [isinstance(parse_line(each), Prompt) for each in lines]

    ids, others = valid_prompt_ids(lines)

    assert ids == ["p1"] * sum(verdicts)
    assert others == [position for position, good in enumerate(verdicts) if not good]


def test_what_a_provider_cannot_take_is_named() -> None:
    seeded = Params(seed=1)

    assert unsupported_parameter("anthropic", seeded) == "seed"
    assert unsupported_parameter("openai", seeded) is None
    assert unsupported_parameter("anthropic", Params(temperature=1.0)) is None


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_was_stored_is_read_back(name: str, value: Any) -> None:
    params = Params.model_validate({name: value})

    class Kept(Model):
        params: Params

    stored = orjson.dumps(Kept(params=params).model_dump(mode="json"))
    assert Kept.model_validate(orjson.loads(stored)).params == params
