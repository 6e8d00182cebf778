"""What all providers behind HTTP have in common: a dialect says how a question is put and what a reply means."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from promptforge.adapters.llm.transport import BAD_RESPONSE, HttpReply, Transport
from promptforge.domain.formats.params import ResponseFormat
from promptforge.domain.retry import FailureKind
from promptforge.domain.retry_after import parse_retry_after
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.settings import Settings

EMPTY = CallFailure(FailureKind.PROMPT, "empty_answer", "The model stopped at its limit before it said anything.")
REFUSED = CallFailure(FailureKind.PROMPT, "refused", "The model refused to answer this prompt.")
FILTERED = CallFailure(FailureKind.PROMPT, "filtered", "The provider's content filter withheld the answer.")
TOOL_CALL = CallFailure(FailureKind.PROMPT, "tool_call", "The model called a tool instead of answering.")

NO_TEXT_FAILURES = {
    FinishReason.LENGTH: EMPTY,
    FinishReason.REFUSED: REFUSED,
    FinishReason.FILTERED: FILTERED,
    FinishReason.TOOL: TOOL_CALL,
}
"""What an answer without a text is, by the reason it ended; for any other reason it makes no sense."""

MALFORMED = (TypeError, KeyError, IndexError, AttributeError, ValueError)
"""What reading a body of another shape raises."""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One request: its path below the base URL, its body, and headers that not every request has."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class ProviderFormat(Protocol):
    """How one provider speaks. `name` and `key` are the provider's and its variable's, for sentences to people."""

    name: str
    key: str

    def build_request(self, question: CompletionRequest) -> ProviderRequest:
        """The question in the provider's words; `extra` is laid over it later."""
        ...

    def parse_completion(self, reply: HttpReply, question: CompletionRequest) -> Completion | CallFailure:
        """What a 200 says. What it raises for a body of another shape counts as an answer that makes no sense."""
        ...

    def count_tokens(self, body: Any) -> tuple[int, int]:
        """Input and output tokens that a 200 bills, whatever else it says; it may raise as `answer`."""
        ...

    def classify_error(self, reply: HttpReply, wait: float | None) -> CallFailure | None:
        """What an error means that is not as `failure` takes it by its status; `wait` is what its headers ask for."""
        ...


class HttpProvider:
    """The provider port over one transport, in one dialect."""

    def __init__(self, transport: Transport, dialect: ProviderFormat, clock: Clock) -> None:
        self._transport = transport
        self._format = dialect
        self._clock = clock

    async def complete(self, question: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        call = self._format.build_request(question)
        body = deep_merge(call.body, question.params.extra or {})
        reply = await self._transport.post(call.path, body, timeout_seconds, call.headers)
        if isinstance(reply, CallFailure):
            return reply
        if reply.status != 200:
            return self._error_failure(reply)
        try:
            answer = self._format.parse_completion(reply, question)
        except MALFORMED:
            answer = BAD_RESPONSE
        return self._with_usage(answer, reply) if isinstance(answer, CallFailure) else answer

    async def close(self) -> None:
        await self._transport.close()

    def _with_usage(self, failure: CallFailure, reply: HttpReply) -> CallFailure:
        """The failure with the tokens that it costs nevertheless."""
        try:
            asked, made = self._format.count_tokens(reply.body)
        except MALFORMED:
            return failure
        return replace(failure, input_tokens=asked, output_tokens=made)

    def _error_failure(self, reply: HttpReply) -> CallFailure:
        """What an error status means, unless the dialect knows better."""
        dialect, status = self._format, reply.status
        wait = retry_after(reply, self._clock.now())
        if special := dialect.classify_error(reply, wait):
            return special
        if status in (401, 402, 403):
            message = f"{dialect.name} refuses the API key (HTTP {status}): the operator must check {dialect.key}."
            return account_failure(message, doubtful=status == 403)
        if status == 429 or (status == 503 and wait is not None):
            return throttled_failure(dialect, wait)
        if status >= 500 or status in (408, 409, 499):
            message = f"{dialect.name} had a fault of its own (HTTP {status})."
            return CallFailure(FailureKind.UNKNOWN, "provider_error", message)
        if status < 400:
            return BAD_RESPONSE
        message = f"{dialect.name} refused the request for this prompt (HTTP {status})."
        return CallFailure(FailureKind.PROMPT, "prompt_rejected", message)


def build_provider(
    name: str, dialect: ProviderFormat, headers: Mapping[str, str], settings: Settings, clock: Clock
) -> HttpProvider:
    """The provider of that name, at the address of the settings; `headers` hold its key."""
    url = settings.provider_urls[name]
    return HttpProvider(Transport(url, headers, settings.max_in_flight, settings.max_answer_bytes), dialect, clock)


def completion_or_failure(text: Any, reason: FinishReason, answer: Completion) -> Completion | CallFailure:
    """The answer, if there is a text; else what its absence means."""
    if isinstance(text, str) and text:
        return answer
    return NO_TEXT_FAILURES.get(reason, BAD_RESPONSE)


def account_failure(message: str, doubtful: bool = False) -> CallFailure:
    """No call with this key can succeed, unless that is doubtful."""
    return CallFailure(FailureKind.ACCOUNT, "provider_account", message, maybe_request_specific=doubtful)


def throttled_failure(dialect: ProviderFormat, wait: float | None) -> CallFailure:
    """Refused for now."""
    return CallFailure(FailureKind.THROTTLED, "throttled", f"{dialect.name} asked to wait.", wait)


def retry_after(reply: HttpReply, now: float) -> float | None:
    """Seconds that the headers ask for: retry-after-ms is finer and goes first, as in the official SDKs."""
    try:
        milliseconds = float(reply.headers.get("retry-after-ms", ""))
    except ValueError:
        fine = None
    else:
        fine = parse_retry_after(str(milliseconds / 1000), now)
    return fine if fine is not None else parse_retry_after(reply.headers.get("retry-after"), now)


def token_count(value: Any) -> int:
    """A number of tokens; whatever is none counts as 0."""
    return value if type(value) is int and 0 <= value < 2**31 else 0


def text_or_none(value: Any) -> str | None:
    """A name of a request or a model, if that is what it is."""
    return value[:200] if isinstance(value, str) and value else None


def chat_messages(question: CompletionRequest) -> list[dict[str, str]]:
    """The conversation as most providers take it, `system` as its first turn."""
    said = [message.model_dump() for message in question.messages] or [{"role": "user", "content": question.prompt}]
    system = question.params.system
    return [{"role": "system", "content": system}, *said] if system else said


def extract_system(question: CompletionRequest) -> tuple[str | None, list[dict[str, str]]]:
    """The conversation for providers that take no turns of the system: its words as one text, and all other turns."""
    every = chat_messages(question)
    system = "\n\n".join(turn["content"] for turn in every if turn["role"] == "system")
    return system or None, [turn for turn in every if turn["role"] != "system"]


def response_format_body(form: ResponseFormat | None) -> dict[str, Any] | None:
    """What the answer must look like, as OpenAI puts it and others after it."""
    if form is None:
        return None
    if form.json_schema is None:
        return {"type": form.type}
    return {"type": form.type, "json_schema": {"name": "answer", "schema": form.json_schema, "strict": True}}


def error_object(body: Any) -> dict[str, Any]:
    """The error object of an error's body, or nothing; Google sometimes puts a list round the body."""
    whole = body[0] if isinstance(body, list) and body else body
    error = whole.get("error") if isinstance(whole, dict) else None
    return error if isinstance(error, dict) else {}


def drop_none(values: dict[str, Any]) -> dict[str, Any]:
    """What was given of all that may be."""
    return {name: value for name, value in values.items() if value is not None}


def deep_merge(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """`extra` laid over the body; objects in both are merged."""
    both = dict(body)
    for name, value in extra.items():
        there = both.get(name)
        both[name] = deep_merge(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return both
