"""The in-process stack with a scripted OpenAI server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.fakes.openai_server import Act, OpenAIServer, good, openai_server
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack


@asynccontextmanager
async def openai_stack(
    folder: Path, act: Act = good, clock: HandClock | None = None, **settings: Any
) -> AsyncIterator[tuple[InProcessStack, OpenAIServer]]:
    """Yield a stack whose provider `openai` is the scripted server, and that server."""
    async with openai_server(act) as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(folder, clock, **keys, **settings) as one:
            yield one, provider
