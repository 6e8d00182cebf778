"""A scripted provider that speaks OpenAI's format."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.fakes.provider_formats import OpenAIFormat
from tests.fakes.scripted_provider import Act, ScriptedProvider, good, scripted, slow

__all__ = ["Act", "OpenAIFormat", "OpenAIServer", "good", "openai_server", "refusal", "slow"]

OpenAIServer = ScriptedProvider


def refusal(status: int, code: str = "some_code", **headers: str) -> web.Response:
    """An error as OpenAI writes them; its text must never be seen again."""
    return OpenAIFormat().refusal(status, code, **headers)


@asynccontextmanager
async def openai_server(act: Act = good) -> AsyncIterator[ScriptedProvider]:
    """A running server on a free port."""
    async with scripted(ScriptedProvider(OpenAIFormat(), act)) as provider:
        yield provider
