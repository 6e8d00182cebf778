"""The answer in a reply, in the same form for all providers."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from promptforge.adapters.llm.error_report import clean_identifier
from promptforge.adapters.llm.network_errors import BAD_RESPONSE
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, FinishReason

MAX_TOKENS_REPORTED = 2**31

EMPTY = CallFailure(FailureKind.PROMPT, "empty_answer", "The model reached its limit before it wrote any text.")
REFUSED = CallFailure(FailureKind.PROMPT, "refused", "The model refused to answer this prompt.")
FILTERED = CallFailure(FailureKind.PROMPT, "filtered", "The provider's content filter withheld the answer.")
TOOL_CALL = CallFailure(FailureKind.PROMPT, "tool_call", "The model called a tool instead of answering.")

NO_TEXT_FAILURES = {
    FinishReason.LENGTH: EMPTY,
    FinishReason.REFUSED: REFUSED,
    FinishReason.FILTERED: FILTERED,
    FinishReason.TOOL: TOOL_CALL,
}
"""The failure of an answer without a text, by finish reason; any other reason is a bad response."""

CONTEXT_REASONS = {"model_context_window_exceeded", "model_length"}
"""Finish reasons of a full context window, which no larger limit of the output changes."""

BROKEN_REASONS = {
    "abort",
    "aborted",
    "canceled",
    "cancelled",
    "error",
    "failed",
    "insufficient_system_resource",
    "internal_error",
    "interrupted",
    "server_error",
}
"""Finish reasons of a generation that broke off, in lower case."""


class Usage(NamedTuple):
    """The tokens that a reply bills.

    `reasoning` is a part of `output`. `reported` is False where the provider reported no usage.
    """

    input: int = 0
    output: int = 0
    reasoning: int = 0
    reported: bool = False

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum."""
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.reported or other.reported,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one reply, or of a reply and its continuations.

    `provider_reason` is the provider's word for `reason`. `has_thoughts` is True where the reply contains thoughts.
    """

    text: str
    reason: FinishReason
    model: str
    usage: Usage
    request_id: str | None = None
    provider_reason: str | None = None
    has_thoughts: bool = False

    def continued_by(self, later: "Answer") -> "Answer":
        """Return this answer with its continuation."""
        return replace(
            later,
            text=self.text + later.text,
            usage=self.usage.plus(later.usage),
            has_thoughts=self.has_thoughts or later.has_thoughts,
        )

    @property
    def is_broken(self) -> bool:
        """Whether the provider broke the generation off."""
        return (self.provider_reason or "").lower() in BROKEN_REASONS

    @property
    def is_unexplained(self) -> bool:
        """Whether there is neither a text nor a reason for its absence."""
        return not self.text and self.reason not in NO_TEXT_FAILURES

    def outcome(self, has_default_limit: bool, has_fixed_limit: bool) -> Completion | CallFailure:
        """Return the completion, or the failure that the absence of a text means.

        `has_default_limit` tells that the limit of the output is PromptForge's default, `has_fixed_limit` that an extra
        field sets it.
        """
        usage = self.usage
        if self.text:
            word = clean_identifier(self.provider_reason) if self.reason is FinishReason.OTHER else None
            return Completion(
                self.text,
                self.model,
                usage.input,
                usage.output,
                self.reason,
                self.request_id,
                usage.reasoning,
                usage.reported,
                word,
            )
        failure = NO_TEXT_FAILURES.get(self.reason, BAD_RESPONSE)
        if failure is EMPTY and not has_fixed_limit and self.provider_reason not in CONTEXT_REASONS:
            helps = has_default_limit or usage.reasoning > 0 or self.has_thoughts
            failure = replace(EMPTY, larger_limit_helps=helps)
        return billed(failure, usage)


def billed(failure: CallFailure, usage: Usage) -> CallFailure:
    """Return the failure with the tokens that the provider bills anyway."""
    return replace(
        failure,
        input_tokens=failure.input_tokens + usage.input,
        output_tokens=failure.output_tokens + usage.output,
    )


def make_usage(inputs: list[Any], output: Any, reasoning: Any = None) -> Usage:
    """Return the usage of reported numbers, any of which may be missing or invalid.

    Reasoning that exceeds the output cannot be a part of it: some servers report it separately.
    """
    counts = [token_count(value) for value in inputs]
    written, thought = token_count(output), token_count(reasoning) or 0
    reported = written is not None or any(count is not None for count in counts)
    total = (written or 0) + (thought if thought > (written or 0) else 0)
    return Usage(sum(count or 0 for count in counts), total, thought, reported)


def token_count(value: Any) -> int | None:
    """Return a number of tokens, or None for a value that is none.

    A whole number counts, also as a float or as a text.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < MAX_TOKENS_REPORTED else None


def join_parts(content: Any) -> str:
    """Return the text of a content: a text, or the text parts of a list without thoughts and other parts.

    Raises TypeError for any other form.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise TypeError
    return "".join(part if isinstance(part, str) else _part_text(part) for part in parts)


def _part_text(part: Any) -> str:
    if not isinstance(part, dict):
        raise TypeError
    if part.get("type", "text") not in ("text", "output_text") or part.get("thought"):
        return ""
    text = part["text"]
    if isinstance(text, dict):  # {"type": "text", "text": {"value": "..."}}
        text = text["value"]
    if not isinstance(text, str):
        raise TypeError
    return text
