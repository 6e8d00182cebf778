"""A scripted provider that speaks OpenAI's format."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from tests.support.scripted import Act, ScriptedProvider, good, scripted, slow

__all__ = ["Act", "OpenAIFormat", "OpenAIServer", "good", "openai_server", "refusal", "slow"]

OpenAIServer = ScriptedProvider


class OpenAIFormat:
    """POST /v1/chat/completions."""

    base = "/v1"
    path = "/v1/chat/completions"

    def read(self, request: web.Request, body: bytes) -> tuple[str, str]:
        asked = orjson.loads(body)
        return asked["messages"][0]["content"], asked["model"]

    def answer(self, prompt: str, model: str) -> web.Response:
        choice = {"index": 0, "message": {"role": "assistant", "content": prompt.upper()}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        return _json({"model": model, "choices": [choice], "usage": usage})

    def refusal(self, status: int, code: str = "some_code", **headers: str) -> web.Response:
        error = {"message": "CANARY provider text", "type": "some_type", "code": code}
        return _json({"error": error}, status, **headers)


def refusal(status: int, code: str = "some_code", **headers: str) -> web.Response:
    """An error as OpenAI writes them; its text must never be seen again."""
    return OpenAIFormat().refusal(status, code, **headers)


@asynccontextmanager
async def openai_server(act: Act = good) -> AsyncIterator[ScriptedProvider]:
    """A running server on a free port."""
    async with scripted(ScriptedProvider(OpenAIFormat(), act)) as provider:
        yield provider


def _json(content: object, status: int = 200, **headers: str) -> web.Response:
    body = orjson.dumps(content)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
