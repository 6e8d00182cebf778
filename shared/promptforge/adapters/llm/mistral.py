"""Mistral's chat completions."""

import random
from typing import Any

from promptforge.adapters.llm.chat_completions import ChatCompletionsFormat
from promptforge.adapters.llm.http import HttpProvider, account_failure, build_provider
from promptforge.adapters.llm.transport import HttpReply
from promptforge.domain.retry import FailureKind
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, FinishReason
from promptforge.settings import Settings

FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL,
}
USED_UP = "billing cycle"
"""A workspace over its monthly limit gets a text about "the next billing cycle", without a code."""

NO_FUNDS = "The Mistral workspace has reached its monthly limit: raise it, then start the job again."
GENERATION_FAILED = CallFailure(
    FailureKind.UNKNOWN, "provider_error", "Mistral ended the answer with an internal error."
)


class MistralFormat(ChatCompletionsFormat):
    """POST /v1/chat/completions."""

    name, key = "Mistral", "MISTRAL_API_KEY"
    path = "/v1/chat/completions"
    seed_field = "random_seed"
    finish_reasons = FINISH_REASONS
    request_id_header = "mistral-correlation-id"

    def choice_failure(self, choice: dict[str, Any]) -> CallFailure | None:
        return GENERATION_FAILED if choice.get("finish_reason") == "error" else None

    def answer_text(self, message: dict[str, Any]) -> Any:
        """Reasoning models answer in pieces, of which only some are the answer."""
        content = message.get("content")
        if isinstance(content, list):
            return "".join(piece["text"] for piece in content if piece["type"] == "text")
        return content

    def classify_error(self, reply: HttpReply, retry_after: float | None) -> CallFailure | None:
        if reply.status == 429 and isinstance(reply.body, dict) and USED_UP in str(reply.body.get("message")):
            return account_failure(NO_FUNDS)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """Return the provider, with the key and the address of the settings."""
    headers = {"Authorization": f"Bearer {settings.provider_keys['mistral']}"}
    return build_provider("mistral", MistralFormat(), headers, settings, clock)
