"""A model server on the loopback with the chat format of OpenAI.

It answers with the last message, or with an object that matches the requested JSON Schema.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.harness.loopback import serve_handler


@asynccontextmanager
async def model_server() -> AsyncIterator[str]:
    """Yield the base URL."""
    async with serve_handler(_answer) as url:
        yield f"{url}/v1"


async def _answer(request: web.Request) -> web.Response:
    body = await request.json()
    requested = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    text = json.dumps(_matching(requested)) if requested else body["messages"][-1]["content"]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return web.json_response({"id": "chat-1", "model": body["model"], "choices": [choice], "usage": usage})


def _matching(schema: dict[str, Any]) -> dict[str, str]:
    return {name: f"some {name}" for name in schema["properties"]}
