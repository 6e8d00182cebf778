"""OpenAI's chat completions, and every server that implements them.

Statuses follow https://platform.openai.com/docs/guides/error-codes.
"""

import random

from promptforge.adapters.llm.chat_completions import ChatCompletionsFormat
from promptforge.adapters.llm.http import HttpProvider, build_provider, host_of
from promptforge.ports.clock import Clock
from promptforge.ports.provider import FinishReason
from promptforge.settings import Settings

FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.FILTERED,
    "tool_calls": FinishReason.TOOL,
    "function_call": FinishReason.TOOL,
}
RENAMED_LIMIT_HOSTS = (
    ".openai.com",
    ".openai.azure.com",
    ".services.ai.azure.com",
    ".cognitiveservices.azure.com",
)
"""The hosts of OpenAI in all regions and of Azure, where the output limit is max_completion_tokens."""


class OpenAIFormat(ChatCompletionsFormat):
    """POST /chat/completions."""

    name, key = "OpenAI", "OPENAI_API_KEY"
    path = "/chat/completions"
    models_path = "/models"
    seed_field = "seed"
    finish_reasons = FINISH_REASONS
    request_id_header = "x-request-id"

    def __init__(self, max_tokens_field: str = "max_completion_tokens") -> None:
        super().__init__()
        self.max_tokens_field = max_tokens_field


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """Return the provider, with the key and the address of the settings."""
    headers = {"Authorization": f"Bearer {settings.provider_keys['openai']}"}
    provider_format = OpenAIFormat(max_tokens_field(settings.provider_urls["openai"]))
    return build_provider("openai", provider_format, headers, settings, clock)


def max_tokens_field(url: str) -> str:
    """Return the name of the output limit at an address."""
    is_renamed = (host_of(url) or "").endswith(RENAMED_LIMIT_HOSTS)
    return "max_completion_tokens" if is_renamed else "max_tokens"
