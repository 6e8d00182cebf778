"""Mistral's chat completions."""

import random

from promptforge.adapters.llm.chat_completions import ChatCompletionsFormat
from promptforge.adapters.llm.error_report import ErrorReport
from promptforge.adapters.llm.http import HttpProvider, build_provider
from promptforge.adapters.llm.rejections import account_failure
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


class MistralFormat(ChatCompletionsFormat):
    """POST /v1/chat/completions."""

    name, key = "Mistral", "MISTRAL_API_KEY"
    path = "/v1/chat/completions"
    models_path = "/v1/models"
    seed_field = "random_seed"
    finish_reasons = FINISH_REASONS
    request_id_header = "mistral-correlation-id"

    def classify_error(self, report: ErrorReport, retry_after: float | None) -> CallFailure | None:
        if report.status == 429 and USED_UP in report.message:
            return account_failure(NO_FUNDS, final=True)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """Return the provider, with the key and the address of the settings."""
    headers = {"Authorization": f"Bearer {settings.provider_keys['mistral']}"}
    return build_provider("mistral", MistralFormat(), headers, settings, clock)
