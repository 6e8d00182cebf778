import asyncio
import gzip
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from promptforge.adapters.llm.transport import HttpReply, Transport
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure
from tests.contract.provider_server import (
    ProviderServer,
    Reply,
    cut_before_response,
    cut_during_body,
    endless_body,
    json_reply,
    raw_reply,
)

MAX_BYTES = 64 * 1024
CONNECTIONS = 4
SHORT_SECONDS = 0.15
LONG_SECONDS = 10.0


@pytest.fixture
async def transport(server: ProviderServer) -> AsyncIterator[Transport]:
    transport = Transport(
        server.url, {"Authorization": "Bearer key"}, connections=CONNECTIONS, max_answer_bytes=MAX_BYTES
    )
    yield transport
    await transport.close()


async def failure_of(transport: Transport, timeout_seconds: float = LONG_SECONDS) -> CallFailure:
    failure = await transport.post("/path", {"a": 1}, timeout_seconds)
    assert isinstance(failure, CallFailure)
    return failure


async def test_transport_returns_status_headers_and_json(transport: Transport, server: ProviderServer) -> None:
    server.reply = json_reply({"b": [2]}, 418, {"X-Some": "header"})

    reply = await transport.post("/path", {"a": "\u2028"}, LONG_SECONDS)

    assert isinstance(reply, HttpReply)
    assert (reply.status, reply.headers["x-some"], reply.body) == (418, "header", {"b": [2]})
    (request,) = server.received
    assert (request.method, request.path, request.body) == ("POST", "/path", '{"a":"\u2028"}'.encode())


async def test_transport_reply_without_json_has_no_body(transport: Transport, server: ProviderServer) -> None:
    server.reply = raw_reply(b"<html>")

    reply = await transport.post("/path", {}, LONG_SECONDS)

    assert isinstance(reply, HttpReply)
    assert reply.body is None


async def test_transport_keeps_no_cookies(transport: Transport, server: ProviderServer) -> None:
    server.reply = json_reply({}, headers={"Set-Cookie": "session=1; Path=/"})

    await transport.post("/path", {}, LONG_SECONDS)
    await transport.post("/path", {}, LONG_SECONDS)

    assert "Cookie" not in server.received[1].headers


@pytest.mark.parametrize("manner", ["hanging", "endless_body"])
async def test_transport_endless_reply_ends_at_timeout(
    transport: Transport, server: ProviderServer, manner: str
) -> None:
    server.reply = server.hang if manner == "hanging" else endless_body
    loop = asyncio.get_running_loop()

    began_at = loop.time()
    failure = await failure_of(transport, SHORT_SECONDS)

    assert loop.time() - began_at < 2.0
    assert (failure.kind, failure.code) == (FailureKind.TIMEOUT, "provider_timeout")


@pytest.mark.parametrize("reply", [cut_during_body, cut_before_response])
async def test_transport_connection_lost_after_request_is_unknown(
    transport: Transport, server: ProviderServer, reply: Reply
) -> None:
    server.reply = reply

    failure = await failure_of(transport)

    assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_connection_lost")
    assert len(server.received) == 1


async def test_transport_lost_connection_does_not_affect_next_call(
    transport: Transport, server: ProviderServer
) -> None:
    server.reply = cut_during_body
    await failure_of(transport)
    server.reply = server.hang
    await failure_of(transport, SHORT_SECONDS)

    server.reply = json_reply({"ok": True})
    reply = await transport.post("/path", {}, LONG_SECONDS)

    assert isinstance(reply, HttpReply)
    assert reply.body == {"ok": True}


async def test_transport_refused_connection_is_not_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        transport = Transport(f"http://127.0.0.1:{bound.getsockname()[1]}", {}, 1, MAX_BYTES)
        try:
            failure = await failure_of(transport)
        finally:
            await transport.close()

    assert (failure.kind, failure.code) == (FailureKind.NOT_SENT, "provider_unreachable")


async def test_transport_unknown_host_is_not_sent() -> None:
    transport = Transport("http://nowhere.invalid", {}, 1, MAX_BYTES)
    try:
        failure = await failure_of(transport)
    finally:
        await transport.close()

    assert (failure.kind, failure.code) == (FailureKind.NOT_SENT, "provider_unreachable")


async def test_transport_reply_of_maximum_size_is_accepted(transport: Transport, server: ProviderServer) -> None:
    server.reply = raw_reply(b'"' + b"x" * (MAX_BYTES - 2) + b'"')

    assert isinstance(await transport.post("/path", {}, LONG_SECONDS), HttpReply)


@pytest.mark.parametrize("status", [200, 500])
async def test_transport_reply_over_maximum_size_is_too_large(
    transport: Transport, server: ProviderServer, status: int
) -> None:
    server.reply = raw_reply(b"x" * (MAX_BYTES + 1), status)

    failure = await failure_of(transport)

    assert (failure.kind, failure.code) == (FailureKind.PROMPT, "provider_answer_too_large")


async def test_transport_reply_over_maximum_size_is_not_read_completely(
    transport: Transport, server: ProviderServer
) -> None:
    cut_off = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * MAX_BYTES)
        except OSError:
            cut_off.set()
            raise

    server.reply = endless

    failure = await failure_of(transport)

    assert failure.code == "provider_answer_too_large"
    await asyncio.wait_for(cut_off.wait(), LONG_SECONDS)


async def test_transport_compressed_reply_is_measured_uncompressed(
    transport: Transport, server: ProviderServer
) -> None:
    bomb = gzip.compress(b"x" * (MAX_BYTES * 200))
    assert len(bomb) < MAX_BYTES
    server.reply = raw_reply(bomb, headers={"Content-Encoding": "gzip"})

    assert (await failure_of(transport)).code == "provider_answer_too_large"


async def test_transport_wait_for_connection_counts_against_timeout(
    transport: Transport, server: ProviderServer
) -> None:
    all_connections_used = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        if len(server.received) == CONNECTIONS:
            all_connections_used.set()
        return await server.hang(request)

    server.reply = hang
    calls = [asyncio.create_task(transport.post("/path", {}, LONG_SECONDS)) for _ in range(CONNECTIONS)]
    await asyncio.wait_for(all_connections_used.wait(), LONG_SECONDS)

    failure = await failure_of(transport, SHORT_SECONDS)

    assert failure.code == "provider_timeout"
    assert len(server.received) == CONNECTIONS
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "ftp://127.0.0.1", "no address", f"http://{'x' * 70}.test"])
async def test_transport_invalid_address_is_not_sent(url: str) -> None:
    transport = Transport(url, {}, 1, MAX_BYTES)
    try:
        failure = await failure_of(transport)
    finally:
        await transport.close()

    assert failure.kind is FailureKind.NOT_SENT


async def test_transport_unaccepted_connection_is_not_sent() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        transport = Transport(f"http://127.0.0.1:{full.getsockname()[1]}", {}, 1, MAX_BYTES)
        try:
            failure = await failure_of(transport, 30)
        finally:
            await transport.close()
            for one in waiting:
                one.close()

    assert failure.kind is FailureKind.NOT_SENT
