"""What may be said to a model besides the prompt: once for a job, and again on any line for that prompt."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from promptforge.domain.frozen import Frozen

Text = Annotated[str, Field(min_length=1)]


def whole(value: object) -> object:
    """JSON has one kind of number: 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(whole)]


class Strict(Frozen):
    """Takes what it names, of the type it names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Message(Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class ResponseFormat(Strict):
    """JSON, or JSON that fits a schema, against which every answer is checked."""

    type: Literal["json_object", "json_schema"]
    json_schema: dict[str, JsonValue] | None = Field(None, alias="schema")

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema needs a schema, json_object has none")
        return self


class Params(Strict):
    """A line's value stands in place of the job's. `metadata` comes back on the line; `extra` goes to the provider as
    it is, merged into the body of the request."""

    system: Text | None = None
    max_tokens: Whole | None = Field(None, ge=1, le=10_000_000)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: Annotated[list[Text] | None, BeforeValidator(_listed)] = Field(None, min_length=1, max_length=16)
    seed: Whole | None = Field(None, ge=-(2**63), lt=2**63)
    response_format: ResponseFormat | None = None
    metadata: dict[str, JsonValue] | None = None
    extra: dict[str, JsonValue] | None = None

    @field_validator("extra")
    @classmethod
    def _leaves_the_question_alone(cls, extra: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if taken := RESERVED.intersection(extra or ()):
            raise ValueError(f"{min(taken)} cannot be set by it")
        return extra

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that were given."""
        return {name: value for name in PARAMS if (value := getattr(self, name)) is not None}

    def over(self, others: "Params") -> "Params":
        """These, and where one is not given, the other's."""
        return others.model_copy(update=self.given)


class LineParams(Params):
    """What a line may give for its own prompt."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    messages: Annotated[list[Message], Field(min_length=1)] | None = None


PARAMS = tuple(Params.model_fields)
LINE_PARAMS = frozenset(LineParams.model_fields)

RESERVED = {"model", "messages", "contents", "stream"}
"""Fields of a request that `extra` may not set: they say what is asked, and how the answer comes."""

JSON_OBJECT = "response_format json_object"

UNSUPPORTED: dict[str, frozenset[str]] = {"anthropic": frozenset({"seed", JSON_OBJECT})}
"""What a provider has no place for: to leave it out silently would be to answer another question."""


def unsupported(provider: str, params: Params) -> str | None:
    """A parameter that was given and that the provider cannot take, if there is one."""
    asked = list(params.given)
    if params.response_format and params.response_format.type == "json_object":
        asked.append(JSON_OBJECT)
    return next((name for name in asked if name in UNSUPPORTED.get(provider, ())), None)
