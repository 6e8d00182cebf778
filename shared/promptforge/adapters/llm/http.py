"""The HTTP providers' common part: a ProviderFormat builds requests and parses replies, HttpProvider does the rest."""

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

MALFORMED = (TypeError, KeyError, IndexError, AttributeError, ValueError)
"""Exceptions from parsing an unexpected response shape."""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One HTTP request: the path below the base URL, the body, and headers that not every request has."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class ProviderFormat(Protocol):
    """The request and response format of one provider.

    `name` and `key` are the provider's name and the variable of its key, for messages.
    """

    name: str
    key: str

    def build_request(self, request: CompletionRequest) -> ProviderRequest:
        """Return the HTTP request; `extra` is merged into it later."""
        ...

    def parse_completion(self, reply: HttpReply, request: CompletionRequest) -> Completion | CallFailure:
        """Parse a reply with status 200.

        An exception of MALFORMED marks a bad response.
        """
        ...

    def count_tokens(self, body: Any) -> tuple[int, int]:
        """Return the input and output tokens that a reply with status 200 bills.

        Raises MALFORMED as `parse_completion`.
        """
        ...

    def classify_error(self, reply: HttpReply, retry_after: float | None) -> CallFailure | None:
        """Return the failure of an error whose meaning its status alone does not tell, else None.

        `retry_after` is the wait that the headers ask for.
        """
        ...


class HttpProvider:
    """The provider port over one transport, in one format."""

    def __init__(self, transport: Transport, provider_format: ProviderFormat, clock: Clock) -> None:
        self._transport = transport
        self._format = provider_format
        self._clock = clock

    async def complete(self, request: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        call = self._format.build_request(request)
        body = deep_merge(call.body, request.params.extra or {})
        reply = await self._transport.post(call.path, body, timeout_seconds, call.headers)
        if isinstance(reply, CallFailure):
            return reply
        if reply.status != 200:
            return self._error_failure(reply)
        try:
            outcome = self._format.parse_completion(reply, request)
        except MALFORMED:
            outcome = BAD_RESPONSE
        return self._with_usage(outcome, reply) if isinstance(outcome, CallFailure) else outcome

    async def close(self) -> None:
        await self._transport.close()

    def _with_usage(self, failure: CallFailure, reply: HttpReply) -> CallFailure:
        """Return the failure with the tokens that the provider bills anyway."""
        try:
            input_tokens, output_tokens = self._format.count_tokens(reply.body)
        except MALFORMED:
            return failure
        return replace(failure, input_tokens=input_tokens, output_tokens=output_tokens)

    def _error_failure(self, reply: HttpReply) -> CallFailure:
        """Return the failure of an error status."""
        name, status = self._format.name, reply.status
        wait = retry_after(reply, self._clock.now())
        if classified := self._format.classify_error(reply, wait):
            return classified
        if status in (401, 402, 403):
            message = f"{name} rejected the API key (HTTP {status}): the operator must check {self._format.key}."
            return account_failure(message, maybe_request_specific=status == 403)
        if status == 429 or (status == 503 and wait is not None):
            return throttled_failure(name, wait)
        if status >= 500 or status in (408, 409, 499):
            return CallFailure(FailureKind.UNKNOWN, "provider_error", f"{name} reported an error (HTTP {status}).")
        if status < 400:
            return BAD_RESPONSE
        message = f"{name} rejected the request of this prompt (HTTP {status})."
        return CallFailure(FailureKind.PROMPT, "prompt_rejected", message)


def build_provider(
    name: str, provider_format: ProviderFormat, headers: Mapping[str, str], settings: Settings, clock: Clock
) -> HttpProvider:
    """Return the provider of that name, at the address of the settings; `headers` hold its key."""
    url = settings.provider_urls[name]
    transport = Transport(url, headers, settings.max_in_flight, settings.max_answer_bytes)
    return HttpProvider(transport, provider_format, clock)


def completion_or_failure(text: Any, reason: FinishReason, completion: Completion) -> Completion | CallFailure:
    """Return the completion if there is a text, else the failure that its absence means."""
    if isinstance(text, str) and text:
        return completion
    return NO_TEXT_FAILURES.get(reason, BAD_RESPONSE)


def account_failure(message: str, maybe_request_specific: bool = False) -> CallFailure:
    """Return the failure of a rejected key or account."""
    return CallFailure(FailureKind.ACCOUNT, "provider_account", message, maybe_request_specific=maybe_request_specific)


def throttled_failure(name: str, retry_after_seconds: float | None) -> CallFailure:
    """Return the failure of a throttled call."""
    return CallFailure(FailureKind.THROTTLED, "throttled", f"{name} throttled the call.", retry_after_seconds)


def retry_after(reply: HttpReply, now: float) -> float | None:
    """Return the seconds that the headers ask for.

    retry-after-ms is more precise and has precedence, as in the official SDKs.
    """
    try:
        milliseconds = float(reply.headers.get("retry-after-ms", ""))
    except ValueError:
        precise = None
    else:
        precise = parse_retry_after(str(milliseconds / 1000), now)
    return precise if precise is not None else parse_retry_after(reply.headers.get("retry-after"), now)


def token_count(value: Any) -> int:
    """Return a number of tokens; any other value counts as 0."""
    return value if type(value) is int and 0 <= value < 2**31 else 0


def text_or_none(value: Any) -> str | None:
    """Return the id of a request or the name of a model, if the value is one."""
    return value[:200] if isinstance(value, str) and value else None


def chat_messages(request: CompletionRequest) -> list[dict[str, str]]:
    """Return the conversation in the form of most providers, `system` as its first message."""
    messages = [message.model_dump() for message in request.messages] or [{"role": "user", "content": request.prompt}]
    system = request.params.system
    return [{"role": "system", "content": system}, *messages] if system else messages


def extract_system(request: CompletionRequest) -> tuple[str | None, list[dict[str, str]]]:
    """Return the system messages as one text, and all other messages."""
    messages = chat_messages(request)
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    return system or None, [message for message in messages if message["role"] != "system"]


def response_format_body(response_format: ResponseFormat | None) -> dict[str, Any] | None:
    """Return the response format in OpenAI's form."""
    if response_format is None:
        return None
    if response_format.json_schema is None:
        return {"type": response_format.type}
    schema = {"name": "answer", "schema": response_format.json_schema, "strict": True}
    return {"type": response_format.type, "json_schema": schema}


def error_object(body: Any) -> dict[str, Any]:
    """Return the error object of a body, or an empty one.

    Google sometimes puts a list around the body.
    """
    whole = body[0] if isinstance(body, list) and body else body
    error = whole.get("error") if isinstance(whole, dict) else None
    return error if isinstance(error, dict) else {}


def drop_none(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are set."""
    return {name: value for name, value in values.items() if value is not None}


def deep_merge(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Return the body with `extra` merged into it; objects in both are merged."""
    merged = dict(body)
    for name, value in extra.items():
        present = merged.get(name)
        merged[name] = deep_merge(present, value) if isinstance(present, dict) and isinstance(value, dict) else value
    return merged
