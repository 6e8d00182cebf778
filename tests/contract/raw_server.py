"""A server on the loopback that answers with any bytes, on connections that stay open."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
"""Writes the bytes for the request of that number, counted from 0 on all connections."""


class RawServer:
    """A server with its URL, and the first lines of the requests and the number of connections that it got."""

    def __init__(self, answer: Answer) -> None:
        self.url = ""
        self.lines: list[str] = []
        self.connections = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                length = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
                await reader.readexactly(int(length[0]) if length else 0)
                self.lines.append(lines[0])
                await self._answer(len(self.lines) - 1, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(answer: Answer, context: SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Run a server."""
    raw = RawServer(answer)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    raw.url = f"https://localhost:{port}" if context else f"http://127.0.0.1:{port}"
    try:
        yield raw
    finally:
        server.close()


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a whole response."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)
