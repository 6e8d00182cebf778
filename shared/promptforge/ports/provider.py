"""A language model behind an API: one prompt in, one outcome out. It never retries and never raises."""

from dataclasses import dataclass
from typing import Protocol

from promptforge.domain.retry import FailureKind


@dataclass(frozen=True, slots=True)
class Question:
    """One call to make."""

    model: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said; `model` is the one that answered."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `code` is stable; `message` is our own sentence, never the provider's text.

    `wait_seconds` is what the provider asked for with a THROTTLED, or None.
    """

    kind: FailureKind
    code: str
    message: str
    wait_seconds: float | None = None


class Provider(Protocol):
    """One provider's API."""

    async def ask(self, question: Question, timeout_seconds: float) -> Answer | Failure:
        """Make exactly one call, ended after `timeout_seconds` in total. Every fault comes back as a Failure."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
