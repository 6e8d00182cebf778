"""OpenAI's chat completions, and every server that speaks them.

What a status means follows https://platform.openai.com/docs/guides/error-codes.
"""

import random
from typing import Any

from promptforge.adapters.llm.http import (
    REFUSED,
    Call,
    HttpProvider,
    account,
    connected,
    count,
    error_of,
    json_format,
    present,
    said,
    text_or_none,
    throttled,
    turns,
)
from promptforge.adapters.llm.transport import HttpReply
from promptforge.ports.clock import Clock
from promptforge.ports.provider import Answer, Failure, FinishReason, Question
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


class OpenAI:
    """POST /chat/completions. OpenAI itself has renamed max_tokens; the servers that speak like it mostly have not."""

    name, key = "OpenAI", "OPENAI_API_KEY"

    def __init__(self, max_tokens: str = "max_completion_tokens") -> None:
        self._max_tokens = max_tokens

    def request(self, question: Question) -> Call:
        params = question.params
        given = {
            self._max_tokens: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "seed": params.seed,
            "response_format": json_format(params.response_format),
        }
        body = {"model": question.model, "messages": turns(question), **present(given)}
        return Call("/chat/completions", body)

    def answer(self, reply: HttpReply, question: Question) -> Answer | Failure:
        body = reply.body
        choice = body["choices"][0]
        message = choice["message"]
        if message.get("refusal"):
            return REFUSED
        text = message["content"]
        reason = REASONS.get(choice.get("finish_reason"), FinishReason.OTHER)
        request_id = text_or_none(reply.headers.get("x-request-id"))
        model = text_or_none(body.get("model")) or question.model
        return said(text, reason, Answer(text, model, *self.tokens(body), reason, request_id))

    def tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") or {}
        return count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))

    def special(self, reply: HttpReply, wait: float | None) -> Failure | None:
        error = error_of(reply.body)  # OpenAI and its likes use `code` or `type`, or both
        codes = {name for name in (error.get("code"), error.get("type")) if isinstance(name, str)}
        if reply.status == 429 and codes & OUT_OF_FUNDS:
            return account(NO_FUNDS)
        if reply.status == 503 and codes & OVERLOADED:
            return throttled(self, wait)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """The provider, with the key and address of the settings."""
    own = settings.provider_urls["openai"] == PROVIDER_URLS["openai"][1]
    headers = {"Authorization": f"Bearer {settings.provider_keys['openai']}"}
    dialect = OpenAI("max_completion_tokens" if own else "max_tokens")
    return connected("openai", dialect, headers, settings, clock)
