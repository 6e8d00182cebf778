"""What a scripted provider can play instead of a good answer, whatever its format."""

import asyncio

from aiohttp import web

from tests.fakes.scripted_provider import Exchange, Outcome, Play

DRIPS = 10


def refused(status: int, retry_after: float | None = None) -> Play:
    """An error in the provider's own words."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return await _send(exchange, exchange.format.refusal(status, **headers))

    return play


async def hanging(exchange: Exchange) -> web.StreamResponse:
    """The request is taken and nothing comes, until the caller goes away."""
    await asyncio.Event().wait()
    return exchange.good


def dripping(seconds: float) -> Play:
    """A good answer, its bytes spread over so many seconds."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        content = _content(exchange)
        response = await _begun(exchange, len(content))
        size = -(-len(content) // DRIPS)
        for start in range(0, len(content), size):
            await asyncio.sleep(seconds / DRIPS)
            await response.write(content[start : start + size])
        await response.write_eof()
        exchange.call.status, exchange.call.outcome = 200, Outcome.ANSWERED
        return response

    return play


async def reset_before(exchange: Exchange) -> web.StreamResponse:
    """The request is taken, then the connection breaks."""
    _break(exchange)
    return exchange.good


async def reset_within(exchange: Exchange) -> web.StreamResponse:
    """The connection breaks in the middle of a good answer."""
    content = _content(exchange)
    response = await _begun(exchange, len(content))
    await response.write(content[: len(content) // 2])
    _break(exchange)
    return response


async def truncated(exchange: Exchange) -> web.StreamResponse:
    """Half a good answer, sent as if it were whole."""
    content = _content(exchange)
    return await _send(exchange, web.Response(body=content[: len(content) // 2], content_type="application/json"))


async def html(exchange: Exchange) -> web.StreamResponse:
    """The page of some proxy, with status 200."""
    return await _send(exchange, web.Response(text="<html><body>Welcome</body></html>", content_type="text/html"))


def _content(exchange: Exchange) -> bytes:
    body = exchange.good.body
    if not isinstance(body, bytes):
        raise TypeError("a good answer has a body of bytes")
    return body


async def _begun(exchange: Exchange, size: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(size)})
    await response.prepare(exchange.request)
    return response


async def _send(exchange: Exchange, response: web.Response) -> web.Response:
    await response.prepare(exchange.request)
    await response.write_eof()
    exchange.call.status, exchange.call.outcome = response.status, Outcome.FAILED
    return response


def _break(exchange: Exchange) -> None:
    """End the connection without a farewell."""
    exchange.call.outcome = Outcome.FAILED
    if exchange.request.transport:
        exchange.request.transport.abort()
