"""OpenAI's chat completions, and every server that implements them.

Statuses follow https://platform.openai.com/docs/guides/error-codes.
"""

import random
from typing import Any

from promptforge.adapters.llm.chat_completions import ChatCompletionsFormat
from promptforge.adapters.llm.http import (
    REFUSED,
    HttpProvider,
    account_failure,
    build_provider,
    error_object,
    throttled_failure,
)
from promptforge.adapters.llm.transport import HttpReply
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, FinishReason
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
FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.FILTERED,
    "tool_calls": FinishReason.TOOL,
    "function_call": FinishReason.TOOL,
}
NO_FUNDS = "The OpenAI account has no quota left: check its plan and billing, then start the job again."


class OpenAIFormat(ChatCompletionsFormat):
    """POST /chat/completions.

    OpenAI itself renamed max_tokens; most compatible servers did not.
    """

    name, key = "OpenAI", "OPENAI_API_KEY"
    path = "/chat/completions"
    seed_field = "seed"
    finish_reasons = FINISH_REASONS
    request_id_header = "x-request-id"

    def __init__(self, max_tokens_field: str = "max_completion_tokens") -> None:
        self.max_tokens_field = max_tokens_field

    def choice_failure(self, choice: dict[str, Any]) -> CallFailure | None:
        return REFUSED if choice["message"].get("refusal") else None

    def classify_error(self, reply: HttpReply, retry_after: float | None) -> CallFailure | None:
        error = error_object(reply.body)  # OpenAI and compatible servers use `code` or `type`, or both
        codes = {name for name in (error.get("code"), error.get("type")) if isinstance(name, str)}
        if reply.status == 429 and codes & OUT_OF_FUNDS:
            return account_failure(NO_FUNDS)
        if reply.status == 503 and codes & OVERLOADED:
            return throttled_failure(self.name, retry_after)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """Return the provider, with the key and the address of the settings."""
    own = settings.provider_urls["openai"] == PROVIDER_URLS["openai"][1]
    headers = {"Authorization": f"Bearer {settings.provider_keys['openai']}"}
    provider_format = OpenAIFormat("max_completion_tokens" if own else "max_tokens")
    return build_provider("openai", provider_format, headers, settings, clock)
