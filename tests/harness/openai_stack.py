"""The in-process stack with a fake provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.fakes.provider import FakeProvider, Script, answer_all, fake_provider
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack


@asynccontextmanager
async def openai_stack(
    folder: Path, script: Script = answer_all, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[tuple[InProcessStack, FakeProvider]]:
    """Run a stack whose provider `openai` is a fake provider, and yield both."""
    async with fake_provider(script) as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "CANARY-key"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(folder, clock, **keys, **settings) as stack:
            yield stack, provider
