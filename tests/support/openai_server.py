"""A loopback provider that speaks OpenAI's format, fails on command and keeps a ledger of every call."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web

Act = Callable[[str, int], Awaitable[web.Response | None]]
"""(prompt, how often it was asked, this call included) → what to answer; None for a good answer."""


@dataclass
class OpenAIServer:
    """`calls` counts the calls of each prompt; `act` may be replaced at any time."""

    act: Act
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    peak: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        """POST /v1/chat/completions."""
        body = orjson.loads(await request.read())
        prompt = body["messages"][0]["content"]
        self.calls[prompt] += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            return await self.act(prompt, self.calls[prompt]) or answer(prompt, body["model"])
        finally:
            self.in_flight -= 1


def answer(prompt: str, model: str) -> web.Response:
    """A good answer: the prompt in capitals."""
    choice = {"index": 0, "message": {"role": "assistant", "content": prompt.upper()}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return web.json_response({"model": model, "choices": [choice], "usage": usage})


def refusal(status: int, code: str = "some_code", **headers: str) -> web.Response:
    """An error as OpenAI writes them; its text must never be seen again."""
    error = {"message": "CANARY provider text", "type": "some_type", "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


async def good(prompt: str, call: int) -> None:
    """Answers everything."""


def slow(seconds: float) -> Act:
    """Answers everything, after a while."""

    async def act(prompt: str, call: int) -> None:
        await asyncio.sleep(seconds)

    return act


@asynccontextmanager
async def openai_server(act: Act = good) -> AsyncIterator[OpenAIServer]:
    """A running server on a free port."""
    server = OpenAIServer(act)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
