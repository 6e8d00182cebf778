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
class ProviderError:
    """The provider's identifiers of an error: its status, and short names such as `context_length_exceeded`.

    A name matches `^[A-Za-z0-9_.:-]{1,64}$`. A sentence of the provider may contain a prompt and never does.
    """

    status: int
    code: str | None = None
    type: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer of a model, never empty.

    `model` is the model that answered, `request_id` the provider's id of the call. `reasoning_tokens` are a part of
    `output_tokens`. `has_usage` is False where the provider reported no usage. `provider_finish_reason` is the
    provider's own word for a finish reason that is OTHER here.
    """

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: FinishReason = FinishReason.STOP
    request_id: str | None = None
    reasoning_tokens: int = 0
    has_usage: bool = True
    provider_finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Why there is no answer.

    `code` is stable. `message` is a sentence of PromptForge, never the provider's text. `retry_after_seconds` is the
    wait that a throttling provider asked for. `maybe_request_specific` marks an ACCOUNT failure that may concern only
    the model or the extra fields of this request. `final` marks an ACCOUNT failure that no later call can heal, such as
    an exhausted balance. `larger_limit_helps` marks an answer that reasoning or a default limit cut off before text.
    `permanent` marks a call that could not be sent for a cause that waiting does not remove, such as an untrusted
    certificate. The tokens are those that the provider bills anyway. `text` is the last text of an answer that was not
    accepted.
    """

    kind: FailureKind
    code: str
    message: str
    retry_after_seconds: float | None = None
    maybe_request_specific: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    error: ProviderError | None = None
    final: bool = False
    larger_limit_helps: bool = False
    permanent: bool = False
    text: str | None = None


class Provider(Protocol):
    """The API of one provider."""

    async def complete(self, request: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        """Make exactly one call, ended after `timeout_seconds` in total.

        A provider may divide it into several requests. Every error is returned as a CallFailure.
        """
        ...

    async def check_model(self, model: str) -> CallFailure | None:
        """Return the failure of every call to a model that does not exist, or None if it may exist.

        The check has no cost. It returns None wherever the provider cannot tell.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
