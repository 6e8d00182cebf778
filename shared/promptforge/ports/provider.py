"""A language model behind an API: one question in, one outcome out. It never retries and never raises."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from promptforge.domain.formats.params import ChatMessage, Params
from promptforge.domain.retry import FailureKind

DEFAULT_PARAMS = Params()


class FinishReason(StrEnum):
    """Why a model stopped, in one set of words for all providers. A refusal or a withheld answer without a text is a
    Failure instead."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"
    FILTERED = "filtered"
    TOOL = "tool"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call to make: a prompt, or in its place a conversation."""

    model: str
    prompt: str
    messages: tuple[ChatMessage, ...] = ()
    params: Params = DEFAULT_PARAMS


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model said, never empty; `model` is the one that answered, `request_id` the provider's name for it."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: FinishReason = FinishReason.STOP
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Why there is no answer. `code` is stable; `message` is our own sentence, never the provider's text.

    `wait_seconds` is what the provider asked for with a THROTTLED, or None. `doubtful` is an ACCOUNT that may be about
    the model or the extra fields of this one question instead. The tokens are those that the provider bills all the
    same.
    """

    kind: FailureKind
    code: str
    message: str
    retry_after_seconds: float | None = None
    maybe_request_specific: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


class Provider(Protocol):
    """One provider's API."""

    async def complete(self, question: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        """Make exactly one call, ended after `timeout_seconds` in total. Every fault comes back as a Failure."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
