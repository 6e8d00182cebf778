"""Each provider twice in front of one recording server: through its official SDK and through the adapter.

The clients are created once for all tests, because that takes longer than using them. So all tests here share one loop.
"""

import os
import random
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from promptforge.adapters.llm import gemini, mistral, openai
from promptforge.adapters.llm.http import HttpProvider
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from promptforge.settings import Settings
from tests.conformance.sdks import SDKS, Sdk, SdkCompletion
from tests.contract.provider_adapters import PROVIDER_APIS, Body, own_provider
from tests.contract.provider_server import ProviderServer, json_reply
from tests.harness.clock import ManualClock

KEY = "sk-canary-key"
TIMEOUT_SECONDS = 60.0
BUILDS = {"compatible": openai.build, "gemini": gemini.build, "mistral": mistral.build}


class Pair:
    """The SDK and the adapter of one provider, side by side."""

    def __init__(self, name: str, server: ProviderServer, seconds: float = TIMEOUT_SECONDS, url: str = "") -> None:
        self.name = name
        self.provider = "openai" if name == "compatible" else name
        self.server = server
        self._seconds = seconds
        self._sdk: Sdk = SDKS[name](url or server.url, KEY, seconds)
        self._adapter = self._build((url or server.url) + PROVIDER_APIS[self.provider].base)

    @property
    def answer(self) -> Body:
        """A valid answer of this provider."""
        return PROVIDER_APIS[self.provider].answer

    async def sdk_outcome(self, request: CompletionRequest) -> SdkCompletion | str:
        """Return the SDK's result, the name of its exception, or "unreadable".

        It is "unreadable" if the SDK returns an answer that cannot be read.
        """
        try:
            answer = await self._sdk.complete(request)
        except Exception as exc:  # the tests compare the name of any exception
            return type(exc).__name__
        try:
            return self._sdk.read(answer)
        except (AttributeError, TypeError):
            return "unreadable"

    async def adapter_outcome(self, request: CompletionRequest) -> Completion | CallFailure:
        """Return the outcome of the adapter."""
        return await self._adapter.complete(request, self._seconds)

    async def close(self) -> None:
        await self._sdk.close()
        await self._adapter.close()

    def _build(self, url: str) -> HttpProvider:
        if self.name in ("openai", "anthropic"):  # build() takes another address for that of a gateway
            return own_provider(self.name, url, KEY, ManualClock())
        settings = Settings.from_env({}, provider_keys={self.provider: KEY}, provider_urls={self.provider: url})
        return BUILDS[self.name](settings, ManualClock(), random.Random(1))


@pytest.fixture(scope="session")
def sdk_environment() -> Iterator[None]:
    """Remove the variables of the SDKs, which read keys, addresses and headers from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "MISTRAL_")):
                patch.delenv(name)
        yield


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def pairs(sdk_environment: None) -> AsyncIterator[dict[str, Pair]]:
    """Return the pair of each provider, all in front of one server."""
    server = ProviderServer()
    await server.start()
    pairs = {name: Pair(name, server) for name in SDKS}
    yield pairs
    for pair in pairs.values():
        await pair.close()
    await server.close()


@pytest.fixture
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    """Return the pair of the provider that the test names."""
    named = pairs[request.param]
    named.server.received.clear()
    named.server.reply = json_reply(named.answer)
    return named
