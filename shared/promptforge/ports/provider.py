"""A language model behind an API: one request, one outcome.

A provider never retries and never raises.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from promptforge.domain.formats.params import ChatMessage, Params
from promptforge.domain.retry import FailureKind

DEFAULT_PARAMS = Params()


class FinishReason(StrEnum):
    """Why a model stopped, in the same words for all providers.

    A refusal or a withheld answer without a text is a CallFailure instead.
    """

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"
    FILTERED = "filtered"
    TOOL = "tool"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call: a prompt, or a conversation in its place."""

    model: str
    prompt: str
    messages: tuple[ChatMessage, ...] = ()
    params: Params = DEFAULT_PARAMS


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer of a model, never empty.

    `model` is the model that answered, `request_id` the provider's id of the call.
    """

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: FinishReason = FinishReason.STOP
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Why there is no answer.

    `code` is stable. `message` is a sentence of PromptForge, never the provider's text. `retry_after_seconds` is the
    wait that a throttling provider asked for. `maybe_request_specific` marks an ACCOUNT failure that may concern only
    the model or the extra fields of this request. The tokens are those that the provider bills anyway.
    """

    kind: FailureKind
    code: str
    message: str
    retry_after_seconds: float | None = None
    maybe_request_specific: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


class Provider(Protocol):
    """The API of one provider."""

    async def complete(self, request: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        """Make exactly one call, ended after `timeout_seconds` in total.

        Every error is returned as a CallFailure.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
