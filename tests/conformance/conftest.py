"""Each provider twice in front of one recording server: through its official SDK and through the adapter.

The clients are created once for all tests, because that takes longer than using them. So all tests here share one loop.
"""

import os
import random
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from promptforge.adapters.llm import anthropic, gemini, mistral, openai
from promptforge.adapters.llm.http import HttpProvider
from promptforge.adapters.llm.transport import Transport
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from promptforge.settings import Settings
from tests.conformance.sdks import SDKS, Read, Sdk
from tests.contract.provider_bench import WIRES, Body
from tests.contract.provider_server import ProviderServer, json_reply
from tests.harness.clock import ManualClock

KEY = "sk-canary-key"
PATIENT_SECONDS = 60.0
BUILDS = {"compatible": openai.build, "anthropic": anthropic.build, "gemini": gemini.build, "mistral": mistral.build}


class Pair:
    """The SDK and the adapter of one provider, side by side."""

    def __init__(self, name: str, server: ProviderServer, seconds: float = PATIENT_SECONDS, url: str = "") -> None:
        self.name = name
        self.provider = "openai" if name == "compatible" else name
        self.server = server
        self._seconds = seconds
        self._sdk: Sdk = SDKS[name](url or server.url, KEY, seconds)
        self._ours = self._build((url or server.url) + WIRES[self.provider].base)

    @property
    def answer(self) -> Body:
        """A good answer of this provider."""
        return WIRES[self.provider].answer

    async def theirs(self, question: CompletionRequest) -> Read | str:
        """Return the SDK's result, the name of its exception, or "unreadable".

        It is "unreadable" if the SDK returns an answer that cannot be read.
        """
        try:
            answer = await self._sdk.ask(question)
        except Exception as exc:  # whatever it is: its name is what is compared
            return type(exc).__name__
        try:
            return self._sdk.read(answer)
        except (AttributeError, TypeError):
            return "unreadable"

    async def ours(self, question: CompletionRequest) -> Completion | CallFailure:
        """Return the outcome of the adapter."""
        return await self._ours.complete(question, self._seconds)

    async def close(self) -> None:
        await self._sdk.close()
        await self._ours.close()

    def _build(self, url: str) -> HttpProvider:
        if self.name == "openai":  # at another address than its own it would be taken for a compatible server
            transport = Transport(url, {"Authorization": f"Bearer {KEY}"}, 4, 1024**2)
            return HttpProvider(transport, openai.OpenAIFormat(), ManualClock())
        settings = Settings.from_env({}, provider_keys={self.provider: KEY}, provider_urls={self.provider: url})
        return BUILDS[self.name](settings, ManualClock(), random.Random(1))


@pytest.fixture(scope="session")
def sdk_environment() -> Iterator[None]:
    """The SDKs read keys, addresses and headers from the environment: for them it is empty."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "MISTRAL_")):
                patch.delenv(name)
        yield


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def pairs(sdk_environment: None) -> AsyncIterator[dict[str, Pair]]:
    """All of them, before one server."""
    server = ProviderServer()
    await server.start()
    pairs = {name: Pair(name, server) for name in SDKS}
    yield pairs
    for pair in pairs.values():
        await pair.close()
    await server.close()


@pytest.fixture
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    """That of the provider which the test names."""
    chosen = pairs[request.param]
    chosen.server.received.clear()
    chosen.server.reply = json_reply(chosen.answer)
    return chosen
