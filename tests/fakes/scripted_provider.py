"""A provider on the loopback that plays what a script says, in any provider's format, with a ledger of every call."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from aiohttp import web


class Outcome(StrEnum):
    """How a call ended: with a good answer, with a fault of the provider, or because the caller went away."""

    ANSWERED = "answered"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(slots=True)
class Call:
    """One line of the ledger. It is written when the server has the whole request: from then on the call is paid.

    `number` counts the calls of this prompt, this one included; times are those of `time.monotonic`.
    """

    prompt: str
    number: int
    caller: int
    began_at: float
    ended_at: float | None = None
    status: int | None = None
    outcome: Outcome | None = None


class Format(Protocol):
    """How one provider writes. `base` is what its base URL ends in, `path` the route of its calls."""

    base: str
    path: str

    def read(self, request: web.Request, body: bytes) -> tuple[str, str]:
        """The prompt and the model of a request."""
        ...

    def answer(self, prompt: str, model: str) -> web.Response:
        """A good answer: the prompt in capitals."""
        ...

    def refusal(self, status: int, **headers: str) -> web.Response:
        """An error; its text must never be seen again."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a play has to work with. `good` is the answer that would be right."""

    call: Call
    request: web.Request
    format: Format
    good: web.Response


Play = Callable[[Exchange], Awaitable[web.StreamResponse]]
"""A way to treat a call; tests/fakes/provider_faults.py has them."""

Act = Callable[[str, int], Awaitable[web.Response | Play | None]]
"""(prompt, how often it was asked, this call included) → what to answer or to play; None for a good answer."""


@dataclass
class ScriptedProvider:
    """`calls` counts the calls of each prompt; `act` may be replaced at any time. `identify` is asked once for each
    connection who is at the client's port."""

    format: Format
    act: Act
    identify: Callable[[int], int] = lambda port: 0
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    ledger: list[Call] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0
    _callers: dict[asyncio.Transport, int] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one call, write it down and play its part."""
        prompt, model = self.format.read(request, await request.read())
        call = self._write_down(prompt, request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            return await self._play(Exchange(call, request, self.format, self.format.answer(prompt, model)))
        finally:
            self.in_flight -= 1
            call.ended_at = time.monotonic()
            call.outcome = call.outcome or Outcome.ABORTED

    async def _play(self, exchange: Exchange) -> web.StreamResponse:
        call, reply = exchange.call, await self.act(exchange.call.prompt, exchange.call.number)
        if callable(reply):
            return await reply(exchange)
        response = reply or exchange.good
        await response.prepare(exchange.request)
        await response.write_eof()  # now, so that a caller who went away is noticed
        call.status, call.outcome = response.status, Outcome.FAILED if reply else Outcome.ANSWERED
        return response

    def _write_down(self, prompt: str, request: web.Request) -> Call:
        self.calls[prompt] += 1
        call = Call(prompt, self.calls[prompt], self._caller(request), time.monotonic())
        self.ledger.append(call)
        return call

    def _caller(self, request: web.Request) -> int:
        transport = request.transport
        if transport is None:
            return 0
        if transport not in self._callers:
            self._callers = {known: pid for known, pid in self._callers.items() if not known.is_closing()}
            self._callers[transport] = self.identify(transport.get_extra_info("peername")[1])
        return self._callers[transport]


async def good(prompt: str, call: int) -> None:
    """Answers everything."""


def slow(seconds: float) -> Act:
    """Answers everything, after a while."""

    async def act(prompt: str, call: int) -> None:
        await asyncio.sleep(seconds)

    return act


@asynccontextmanager
async def scripted(provider: ScriptedProvider, port: int = 0) -> AsyncIterator[ScriptedProvider]:
    """The provider, running on a port, or on a free one."""
    app = web.Application()
    app.router.add_post(provider.format.path, provider.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}{provider.format.base}"
    try:
        yield provider
    finally:
        await runner.cleanup()
