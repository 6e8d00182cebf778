"""Each provider adapter in front of a server with a chosen behaviour, so that one suite tests all of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from promptforge.adapters.llm import echo
from promptforge.adapters.llm.anthropic import AnthropicFormat, own_headers
from promptforge.adapters.llm.gemini import GeminiFormat
from promptforge.adapters.llm.http import HttpProvider
from promptforge.adapters.llm.mistral import MistralFormat
from promptforge.adapters.llm.openai import OpenAIFormat
from promptforge.adapters.llm.provider_format import ProviderFormat
from promptforge.adapters.llm.transport import Transport
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import Provider
from promptforge.settings import Settings
from tests.contract.provider_server import ProviderServer, json_reply
from tests.harness.clock import ManualClock

Body = dict[str, Any]
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
OPENAI_ANSWER: Body = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x-2024",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Because."}}],
    "usage": USAGE,
}
MISTRAL_ANSWER: Body = OPENAI_ANSWER | {"id": "cmpl-1"}
ANTHROPIC_ANSWER: Body = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "gpt-x-2024",
    "content": [{"type": "text", "text": "Because."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 7},
}
GEMINI_ANSWER: Body = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Because."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12},
    "modelVersion": "gpt-x-2024",
    "responseId": "resp-1",
}


class ProviderAdapter(Protocol):
    """One adapter, and the kind of its failure for a fault of its own."""

    fault_kind: FailureKind

    def answering(self) -> Provider:
        """Return a provider that answers every request."""
        ...

    def hanging(self) -> Provider:
        """Return a provider that does not answer during a test."""
        ...

    def throttling(self) -> Provider:
        """Return a provider that throttles every call."""
        ...

    def failing(self) -> Provider:
        """Return a provider whose every call fails with a server error."""
        ...

    async def close(self) -> None:
        """Close every returned provider."""
        ...


class EchoAdapter:
    fault_kind = FailureKind.UNKNOWN  # it fails the same prompts each time

    def __init__(self, server: ProviderServer) -> None:
        self._server = server

    def answering(self) -> Provider:
        return self._make()

    def hanging(self) -> Provider:
        return self._make(echo_latency_seconds=3600)

    def throttling(self) -> Provider:
        return self._make(echo_throttle_rate=1 - 2**-53)

    def failing(self) -> Provider:
        return self._make(echo_failure_rate=1)

    async def close(self) -> None:
        return None

    def _make(self, **given: float) -> Provider:
        return echo.build(Settings.from_env({}, **given), ManualClock(), random.Random(1))


@dataclass(frozen=True)
class ProviderApi:
    """The name of a provider, the path of its base URL, and a valid answer."""

    name: str
    base: str
    answer: Body

    @property
    def key(self) -> str:
        return f"sk-canary-{self.name}-key"


OPENAI = ProviderApi("openai", "/v1", OPENAI_ANSWER)
ANTHROPIC = ProviderApi("anthropic", "", ANTHROPIC_ANSWER)
GEMINI = ProviderApi("gemini", "", GEMINI_ANSWER)
MISTRAL = ProviderApi("mistral", "", MISTRAL_ANSWER)
PROVIDER_APIS = {api.name: api for api in (OPENAI, ANTHROPIC, GEMINI, MISTRAL)}
OPENAI_KEY = OPENAI.key


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


OWN: dict[str, tuple[Callable[[], ProviderFormat], Callable[[str], dict[str, str]]]] = {
    "openai": (OpenAIFormat, bearer),
    "anthropic": (AnthropicFormat, own_headers),
    "gemini": (GeminiFormat, lambda key: {"x-goog-api-key": key}),
    "mistral": (MistralFormat, bearer),
}
"""The format of each provider at its own address, and its headers."""


def own_provider(name: str, url: str, key: str, clock: ManualClock) -> HttpProvider:
    """Return an adapter that takes `url` for the provider's own address."""
    make_format, headers = OWN[name]
    return HttpProvider(Transport(url, headers(key), 4, 1024**2), make_format(), clock, key, lists_models=True)


class HttpAdapter:
    fault_kind = FailureKind.PROVIDER

    def __init__(self, api: ProviderApi, server: ProviderServer) -> None:
        self.api = api
        self.server = server
        self.clock = ManualClock()
        self._made: list[Provider] = []

    def answering(self) -> Provider:
        self.server.reply = json_reply(self.api.answer)
        return self.make()

    def hanging(self) -> Provider:
        self.server.reply = self.server.hang
        return self.make()

    def throttling(self) -> Provider:
        self.server.reply = json_reply({"error": {"code": "rate_limit_exceeded"}}, 429)
        return self.make()

    def failing(self) -> Provider:
        self.server.reply = json_reply({"error": {}}, 500)
        return self.make()

    def make(self, url: str | None = None, max_answer_bytes: int = 64 * 1024) -> Provider:
        """Return a provider that calls the test's server, or another address."""
        name = self.api.name
        settings = Settings.from_env(
            {},
            provider_keys={name: self.api.key},
            provider_urls={name: url or self.server.url + self.api.base},
            max_answer_bytes=max_answer_bytes,
        )
        built: Provider = import_module(f"promptforge.adapters.llm.{name}").build(
            settings, self.clock, random.Random(1)
        )
        self._made.append(built)
        return built

    def make_own(self) -> HttpProvider:
        """One that takes the test's server for the provider's own address."""
        url = self.server.url + self.api.base
        self._made.append(built := own_provider(self.api.name, url, self.api.key, self.clock))
        return built

    async def close(self) -> None:
        for provider in self._made:
            await provider.close()


ADAPTERS: dict[str, Callable[[ProviderServer], ProviderAdapter]] = {
    "echo": EchoAdapter,
    **{name: partial(HttpAdapter, api) for name, api in PROVIDER_APIS.items()},
}
