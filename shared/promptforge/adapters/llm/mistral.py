"""Mistral's chat completions."""

import random
from typing import Any

from promptforge.adapters.llm.http import (
    HttpProvider,
    ProviderRequest,
    account_failure,
    build_provider,
    chat_messages,
    completion_or_failure,
    drop_none,
    response_format_body,
    text_or_none,
    token_count,
)
from promptforge.adapters.llm.transport import HttpReply
from promptforge.domain.retry import FailureKind
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.settings import Settings

REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL,
}
USED_UP = "billing cycle"
"""A workspace over its limit of the month is told to wait "until the next billing cycle", without a code."""

NO_FUNDS = "The Mistral workspace has reached its limit of the month: raise it, then start the job again."
BROKEN_OFF = CallFailure(FailureKind.UNKNOWN, "provider_error", "Mistral broke off its answer with a fault of its own.")


class MistralFormat:
    """POST /v1/chat/completions."""

    name, key = "Mistral", "MISTRAL_API_KEY"

    def build_request(self, question: CompletionRequest) -> ProviderRequest:
        params = question.params
        given = {
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "random_seed": params.seed,
            "response_format": response_format_body(params.response_format),
        }
        return ProviderRequest(
            "/v1/chat/completions", {"model": question.model, "messages": chat_messages(question), **drop_none(given)}
        )

    def parse_completion(self, reply: HttpReply, question: CompletionRequest) -> Completion | CallFailure:
        body = reply.body
        choice = body["choices"][0]
        if choice.get("finish_reason") == "error":
            return BROKEN_OFF
        text = _text(choice["message"].get("content"))
        reason = REASONS.get(choice.get("finish_reason"), FinishReason.OTHER)
        request_id = text_or_none(reply.headers.get("mistral-correlation-id"))
        model = text_or_none(body.get("model")) or question.model
        return completion_or_failure(
            text, reason, Completion(text, model, *self.count_tokens(body), reason, request_id)
        )

    def count_tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") or {}
        return token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))

    def classify_error(self, reply: HttpReply, wait: float | None) -> CallFailure | None:
        if reply.status == 429 and isinstance(reply.body, dict) and USED_UP in str(reply.body.get("message")):
            return account_failure(NO_FUNDS)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """The provider, with the key and address of the settings."""
    headers = {"Authorization": f"Bearer {settings.provider_keys['mistral']}"}
    return build_provider("mistral", MistralFormat(), headers, settings, clock)


def _text(content: Any) -> Any:
    """What was said; models that think aloud say it in pieces, of which only some are the answer."""
    if isinstance(content, list):
        return "".join(piece["text"] for piece in content if piece["type"] == "text")
    return content
