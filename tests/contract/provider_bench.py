"""How each provider adapter is brought to behave in a certain way, so that one suite can judge them all."""

import random
from collections.abc import Callable
from typing import Protocol

from promptforge.adapters.llm import echo, openai
from promptforge.ports.provider import Provider
from promptforge.settings import Settings
from tests.contract.provider_server import ProviderServer, json_reply

OPENAI_KEY = "sk-canary-openai-key"
OPENAI_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-x-2024",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Because."}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
}


class ProviderBench(Protocol):
    """One adapter."""

    def answering(self) -> Provider:
        """One that answers every question."""
        ...

    def hanging(self) -> Provider:
        """One that answers too late for any test."""
        ...

    def throttling(self) -> Provider:
        """One that tells every caller to wait."""
        ...

    def failing(self) -> Provider:
        """One that has a fault of its own with every question."""
        ...

    async def close(self) -> None:
        """Close all that was handed out."""
        ...


class EchoBench:
    def __init__(self, server: ProviderServer) -> None:
        self._server = server

    def answering(self) -> Provider:
        return echo.build(Settings.from_env({}), random.Random(1))

    def hanging(self) -> Provider:
        return echo.build(Settings.from_env({}, echo_latency_seconds=3600), random.Random(1))

    def throttling(self) -> Provider:
        return echo.build(Settings.from_env({}, echo_throttle_rate=1 - 2**-53), random.Random(1))

    def failing(self) -> Provider:
        return echo.build(Settings.from_env({}, echo_failure_rate=1), random.Random(1))

    async def close(self) -> None:
        return None


class OpenAIBench:
    def __init__(self, server: ProviderServer) -> None:
        self._server = server
        self._made: list[Provider] = []

    def answering(self) -> Provider:
        self._server.reply = json_reply(OPENAI_ANSWER)
        return self.make()

    def hanging(self) -> Provider:
        self._server.reply = self._server.hang
        return self.make()

    def throttling(self) -> Provider:
        self._server.reply = json_reply({"error": {"code": "rate_limit_exceeded"}}, 429)
        return self.make()

    def failing(self) -> Provider:
        self._server.reply = json_reply({"error": {}}, 500)
        return self.make()

    def make(self, url: str | None = None, max_answer_bytes: int = 64 * 1024) -> Provider:
        """One that calls the test's server, or another address."""
        settings = Settings.from_env(
            {},
            provider_keys={"openai": OPENAI_KEY},
            provider_urls={"openai": url or self._server.url + "/v1"},
            max_answer_bytes=max_answer_bytes,
        )
        self._made.append(openai.build(settings, random.Random(1)))
        return self._made[-1]

    async def close(self) -> None:
        for provider in self._made:
            await provider.close()


BENCHES: dict[str, Callable[[ProviderServer], ProviderBench]] = {"echo": EchoBench, "openai": OpenAIBench}
