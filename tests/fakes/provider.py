"""A fake provider on loopback: it answers in the format of any provider, by a script, and logs every call.

`provider_formats` has the formats, `provider_faults` the faults that a script can return.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from aiohttp import web

from tests.fakes.provider_formats import OpenAIFormat


class Outcome(StrEnum):
    """How a call ended: with a completion, with an error of the provider, or because the caller closed it."""

    ANSWERED = "answered"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(slots=True)
class Call:
    """An entry of the call log.

    It is added when the server has the whole request: from then on, a real provider bills the call.
    `number` counts the calls of this prompt, this one included. `caller` is a process id, or 0 if it is unknown.
    Times are those of `time.monotonic`.
    """

    prompt: str
    number: int
    caller: int
    started_at: float
    ended_at: float | None = None
    status: int | None = None
    outcome: Outcome | None = None


class Format(Protocol):
    """The request and response format of one provider.

    `base` is the path at the end of its base URL, `path` the route of its calls.
    """

    base: str
    path: str

    def parse_request(self, request: web.Request, body: bytes) -> tuple[str, str]:
        """Return the prompt and the model of a request."""
        ...

    def completion_response(self, prompt: str, model: str) -> web.Response:
        """Return a completion: the prompt in capitals."""
        ...

    def error_response(self, status: int, **headers: str) -> web.Response:
        """Return an error.

        Its text contains the canary, so no log line and no error of the product may show it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call that a fault handles.

    `completion` is the response that a healthy provider would send.
    """

    call: Call
    request: web.Request
    format: Format
    completion: web.Response


Fault = Callable[[Exchange], Awaitable[web.StreamResponse]]
"""An entry of a script: it sends something else than a completion. `provider_faults` has the usual ones."""

Script = Callable[[str, int], Awaitable[web.Response | Fault | None]]
"""(prompt, number of this prompt's call) → the response or the fault; None stands for a completion."""


@dataclass
class FakeProvider:
    """A provider whose responses follow `script`, which a test may replace at any time.

    `call_counts` has the number of calls of each prompt. `identify` returns the process id at a client's port; it is
    called once per connection.
    """

    format: Format
    script: Script
    identify: Callable[[int], int] = lambda port: 0
    url: str = ""
    call_counts: Counter[str] = field(default_factory=Counter)
    call_log: list[Call] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0
    _callers: dict[asyncio.Transport, int] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Log one call and respond to it as the script says."""
        prompt, model = self.format.parse_request(request, await request.read())
        call = self._log_call(prompt, request)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            completion = self.format.completion_response(prompt, model)
            return await self._respond(Exchange(call, request, self.format, completion))
        finally:
            self.in_flight -= 1
            call.ended_at = time.monotonic()
            call.outcome = call.outcome or Outcome.ABORTED

    async def _respond(self, exchange: Exchange) -> web.StreamResponse:
        call = exchange.call
        entry = await self.script(call.prompt, call.number)
        if callable(entry):
            return await entry(exchange)
        response = entry or exchange.completion
        await response.prepare(exchange.request)
        await response.write_eof()  # here, so that a closed connection raises before the outcome is set
        call.status, call.outcome = response.status, Outcome.FAILED if entry else Outcome.ANSWERED
        return response

    def _log_call(self, prompt: str, request: web.Request) -> Call:
        self.call_counts[prompt] += 1
        call = Call(prompt, self.call_counts[prompt], self._caller(request), time.monotonic())
        self.call_log.append(call)
        return call

    def _caller(self, request: web.Request) -> int:
        transport = request.transport
        if transport is None:
            return 0
        if transport not in self._callers:
            self._callers = {known: pid for known, pid in self._callers.items() if not known.is_closing()}
            self._callers[transport] = self.identify(transport.get_extra_info("peername")[1])
        return self._callers[transport]


async def answer_all(prompt: str, call: int) -> None:
    """Complete every call at once."""


def answer_after(seconds: float) -> Script:
    """Complete every call after this time."""

    async def script(prompt: str, call: int) -> None:
        await asyncio.sleep(seconds)

    return script


def openai_error(status: int, code: str = "some_code", **headers: str) -> web.Response:
    """Return an error in OpenAI's format, with the canary in its text."""
    return OpenAIFormat().error_response(status, code, **headers)


@asynccontextmanager
async def fake_provider(script: Script = answer_all) -> AsyncIterator[FakeProvider]:
    """Run a provider with OpenAI's format on a free port."""
    async with serve_provider(FakeProvider(OpenAIFormat(), script)) as provider:
        yield provider


@asynccontextmanager
async def serve_provider(provider: FakeProvider, port: int = 0) -> AsyncIterator[FakeProvider]:
    """Run a provider on this port, or on a free one."""
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
