"""OpenAI's chat completions, and every server that speaks them.

What a status means follows https://platform.openai.com/docs/guides/error-codes.
"""

import random
from typing import Any

from promptforge.adapters.llm.http import (
    REFUSED,
    HttpProvider,
    ProviderRequest,
    account_failure,
    build_provider,
    chat_messages,
    completion_or_failure,
    drop_none,
    error_object,
    response_format_body,
    text_or_none,
    throttled_failure,
    token_count,
)
from promptforge.adapters.llm.transport import HttpReply
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.settings import PROVIDER_URLS, Settings

OUT_OF_FUNDS = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
}
OVERLOADED = {"server_is_overloaded", "slow_down"}
REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.FILTERED,
    "tool_calls": FinishReason.TOOL,
    "function_call": FinishReason.TOOL,
}
NO_FUNDS = "The OpenAI account has no quota left: check its plan and billing, then start the job again."


class OpenAIFormat:
    """POST /chat/completions. OpenAI itself has renamed max_tokens; the servers that speak like it mostly have not."""

    name, key = "OpenAI", "OPENAI_API_KEY"

    def __init__(self, max_tokens: str = "max_completion_tokens") -> None:
        self._max_tokens = max_tokens

    def build_request(self, question: CompletionRequest) -> ProviderRequest:
        params = question.params
        given = {
            self._max_tokens: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "seed": params.seed,
            "response_format": response_format_body(params.response_format),
        }
        body = {"model": question.model, "messages": chat_messages(question), **drop_none(given)}
        return ProviderRequest("/chat/completions", body)

    def parse_completion(self, reply: HttpReply, question: CompletionRequest) -> Completion | CallFailure:
        body = reply.body
        choice = body["choices"][0]
        message = choice["message"]
        if message.get("refusal"):
            return REFUSED
        text = message["content"]
        reason = REASONS.get(choice.get("finish_reason"), FinishReason.OTHER)
        request_id = text_or_none(reply.headers.get("x-request-id"))
        model = text_or_none(body.get("model")) or question.model
        return completion_or_failure(
            text, reason, Completion(text, model, *self.count_tokens(body), reason, request_id)
        )

    def count_tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") or {}
        return token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))

    def classify_error(self, reply: HttpReply, wait: float | None) -> CallFailure | None:
        error = error_object(reply.body)  # OpenAI and its likes use `code` or `type`, or both
        codes = {name for name in (error.get("code"), error.get("type")) if isinstance(name, str)}
        if reply.status == 429 and codes & OUT_OF_FUNDS:
            return account_failure(NO_FUNDS)
        if reply.status == 503 and codes & OVERLOADED:
            return throttled_failure(self, wait)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """The provider, with the key and address of the settings."""
    own = settings.provider_urls["openai"] == PROVIDER_URLS["openai"][1]
    headers = {"Authorization": f"Bearer {settings.provider_keys['openai']}"}
    dialect = OpenAIFormat("max_completion_tokens" if own else "max_tokens")
    return build_provider("openai", dialect, headers, settings, clock)
