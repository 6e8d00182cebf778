"""Parameters of a model call besides the prompt, for a whole job or for the prompt of one line."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from promptforge.domain.model import Model
from promptforge.domain.providers import JSON_OBJECT, PROVIDERS

MAX_DEPTH = 100

NonEmptyText = Annotated[str, Field(min_length=1)]


def integral(value: object) -> object:
    """Return a float without a fraction as an integer, because 3.0 and 3 are the same number in JSON.

    A float above 2**53 stays a float: the parser may have dropped digits.
    """
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


RESERVED = {"model", "messages", "contents", "stream"}
"""Fields of a request that `extra` may not set: they hold the prompt, the model and the form of the response."""


def _reserved_names_schema(schema: dict[str, Any]) -> None:
    schema["anyOf"][0]["propertyNames"] = {"not": {"enum": sorted(RESERVED)}}


def _schema_presence_schema(schema: dict[str, Any]) -> None:
    kind, needed = {"type": {"const": "json_schema"}}, {"schema": {"type": "object"}}
    schema["if"] = {"properties": kind, "required": ["type"]}
    schema["then"] = {"properties": needed, "required": ["schema"]}
    schema["else"] = {"properties": {"schema": {"type": "null"}}}


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _limit_depth(value: object) -> object:
    """Reject a value that nests too deep for the serializer."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return value
    raise ValueError(f"It nests more than {MAX_DEPTH} levels")


def _children(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_limit_depth)]
MaxTokens = Annotated[int, Field(ge=1, le=10_000_000), BeforeValidator(integral)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63), BeforeValidator(integral)]
StopTexts = Annotated[list[NonEmptyText], Field(min_length=1, max_length=16)]


class StrictModel(Model):
    """A model that rejects unknown fields and values of another type."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid", strict=True, allow_inf_nan=False)


class ChatMessage(StrictModel):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: NonEmptyText


class ResponseFormat(StrictModel):
    """The required form of every answer: JSON, or JSON that matches a schema."""

    model_config = ConfigDict(json_schema_extra=_schema_presence_schema, serialize_by_alias=True)

    type: Literal["json_object", "json_schema"]
    json_schema: JsonObject | None = Field(None, alias="schema")

    @model_validator(mode="after")
    def _check_schema_presence(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema needs a schema, json_object has none")
        return self


class Params(StrictModel):
    """The parameters of a job, or of a line, whose values override those of the job.

    `metadata` is returned on the result line. `extra` is merged into the body of the request to the provider.
    """

    system: NonEmptyText | None = None
    max_tokens: MaxTokens | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: Annotated[
        StopTexts | None, BeforeValidator(_as_list, json_schema_input_type=NonEmptyText | StopTexts | None)
    ] = None
    seed: Seed | None = None
    response_format: ResponseFormat | None = None
    metadata: JsonObject | None = None
    extra: JsonObject | None = Field(None, json_schema_extra=_reserved_names_schema)

    @field_validator("extra")
    @classmethod
    def _reject_reserved(cls, extra: JsonObject | None) -> JsonObject | None:
        if reserved := RESERVED.intersection(extra or ()):
            raise ValueError(f"{min(reserved)} cannot be set by it")
        return extra

    @property
    def set_fields(self) -> dict[str, Any]:
        """The parameters that have a value."""
        return {name: value for name in PARAMS if (value := getattr(self, name)) is not None}

    def merged_over(self, others: "Params") -> "Params":
        """Return these parameters, with the other's value for each one that has none."""
        return others.model_copy(update=self.set_fields)


class LineParams(Params):
    """The parameters of a line: those of a job, a model of its own, and a conversation in place of the prompt."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None


PARAMS = tuple(Params.model_fields)
LINE_PARAMS = frozenset(LineParams.model_fields)


def unsupported_parameter(provider: str, params: Params) -> str | None:
    """Return a parameter that has a value and that the provider does not support, or None."""
    names = list(params.set_fields)
    if params.response_format and params.response_format.type == "json_object":
        names.append(JSON_OBJECT)
    unsupported = PROVIDERS[provider].unsupported if provider in PROVIDERS else frozenset[str]()
    return next((name for name in names if name in unsupported), None)
