"""Reuse of connections: a response that nobody asked for never becomes the answer of a later request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from promptforge.adapters.llm.transport import HttpReply, Transport
from promptforge.ports.provider import CallFailure
from tests.contract.raw_server import RawServer, raw_server, response

PATIENT = 10.0
LATE = response(b'"late"')


@asynccontextmanager
async def transport_to(raw: RawServer) -> AsyncIterator[Transport]:
    transport = Transport(raw.url, {}, 1, 64 * 1024)
    try:
        yield transport
    finally:
        await transport.close()


async def body_of(transport: Transport) -> object:
    reply = await transport.post("/path", {}, PATIENT)
    assert isinstance(reply, HttpReply)
    return reply.body


def numbered(number: int) -> bytes:
    return response(orjson.dumps(number))


async def test_connection_of_a_silent_peer_is_reused() -> None:
    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(numbered(number))

    async with raw_server(answer) as raw, transport_to(raw) as transport:
        assert [await body_of(transport) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert raw.connections == 1


@pytest.mark.parametrize(
    "unasked", [LATE, LATE[:20], LATE * 3, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"x", b"\r\n"]
)
async def test_unasked_response_on_an_idle_connection_is_not_an_answer(unasked: bytes) -> None:
    """The late bytes arrive while the connection is idle, and the event loop reads them."""
    writers: list[asyncio.StreamWriter] = []

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(numbered(number))

    async with raw_server(answer) as raw, transport_to(raw) as transport:
        bodies = []
        for _ in range(4):
            bodies.append(await body_of(transport))
            writers[-1].write(unasked)
            await writers[-1].drain()
            await _until_loopback_delivers()

    assert bodies == [0, 1, 2, 3]


async def test_unasked_response_in_the_buffer_of_the_system_is_not_an_answer() -> None:
    """The late bytes are there when the connection is reused, and the event loop has not read them."""
    writers: list[asyncio.StreamWriter] = []

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(numbered(number))

    async with raw_server(answer) as raw, transport_to(raw) as transport:
        bodies = []
        for _ in range(4):
            bodies.append(await body_of(transport))
            writers[-1].write(LATE)

    assert bodies == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [2, 5])
async def test_two_responses_at_once_are_one_answer(count: int) -> None:
    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(numbered(number) + LATE * (count - 1))

    async with raw_server(answer) as raw, transport_to(raw) as transport:
        assert [await body_of(transport) for _ in range(4)] == [0, 1, 2, 3]


async def test_connection_that_the_peer_closed_is_not_reused() -> None:
    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(numbered(number))
        await writer.drain()
        writer.close()

    async with raw_server(answer) as raw, transport_to(raw) as transport:
        for number in range(20):
            reply = await transport.post("/path", {}, PATIENT)

            assert not isinstance(reply, CallFailure), number


async def _until_loopback_delivers() -> None:
    """Let the event loop read what has arrived."""
    for _ in range(10):
        await asyncio.sleep(0)
