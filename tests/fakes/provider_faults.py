"""Faults for the script of a fake provider, in any format."""

import asyncio

from aiohttp import web

from tests.fakes.provider import Exchange, Fault, Outcome

SLOW_BODY_STEPS = 10


def error_status(status: int, retry_after: float | None = None) -> Fault:
    """Return a fault that sends this status with an error in the provider's format."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return await _send(exchange, exchange.format.error_response(status, **headers))

    return fault


async def no_response(exchange: Exchange) -> web.StreamResponse:
    """Accept the request and send nothing until the caller closes the connection."""
    await asyncio.Event().wait()
    return exchange.completion


def slow_body(seconds: float) -> Fault:
    """Return a fault that sends a completion whose bytes take this time."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        content = _content(exchange)
        response = await _start_response(exchange, len(content))
        size = -(-len(content) // SLOW_BODY_STEPS)
        for start in range(0, len(content), size):
            await asyncio.sleep(seconds / SLOW_BODY_STEPS)
            await response.write(content[start : start + size])
        await response.write_eof()
        exchange.call.status, exchange.call.outcome = 200, Outcome.ANSWERED
        return response

    return fault


async def reset_before_response(exchange: Exchange) -> web.StreamResponse:
    """Accept the request and abort the connection."""
    _abort(exchange)
    return exchange.completion


async def reset_during_response(exchange: Exchange) -> web.StreamResponse:
    """Abort the connection in the middle of a completion."""
    content = _content(exchange)
    response = await _start_response(exchange, len(content))
    await response.write(content[: len(content) // 2])
    _abort(exchange)
    return response


async def truncated(exchange: Exchange) -> web.StreamResponse:
    """Send half of a completion as if it were the whole body."""
    content = _content(exchange)
    return await _send(exchange, web.Response(body=content[: len(content) // 2], content_type="application/json"))


async def html(exchange: Exchange) -> web.StreamResponse:
    """Send an HTML page with status 200, as a proxy in between may."""
    return await _send(exchange, web.Response(text="<html><body>Welcome</body></html>", content_type="text/html"))


def _content(exchange: Exchange) -> bytes:
    body = exchange.completion.body
    if not isinstance(body, bytes):
        raise TypeError("a completion requires a body of bytes")
    return body


async def _start_response(exchange: Exchange, size: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(size)})
    await response.prepare(exchange.request)
    return response


async def _send(exchange: Exchange, response: web.Response) -> web.Response:
    await response.prepare(exchange.request)
    await response.write_eof()
    exchange.call.status, exchange.call.outcome = response.status, Outcome.FAILED
    return response


def _abort(exchange: Exchange) -> None:
    """Reset the connection: the caller gets no FIN and no TLS or HTTP end."""
    exchange.call.outcome = Outcome.FAILED
    if exchange.request.transport:
        exchange.request.transport.abort()
