"""A network that fails on request."""

import asyncio
from typing import Self

from tests.harness.emulators import free_port

READ_BYTES = 65536


class FlakyProxy:
    """A TCP proxy on loopback in front of `target`.

    Its own address does not change.
    """

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._own_port = free_port()  # not from the ephemeral range: no other process gets it while it is closed
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._discarding = False

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse_connections()
        self.drop_connections()
        if self._connections:
            await asyncio.wait(self._connections)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._own_port}"

    def drop_connections(self) -> None:
        """Abort every connection, in the middle of its data."""
        for writer in self._writers:
            writer.transport.abort()

    def refuse_connections(self) -> None:
        """Refuse new connections.

        Existing ones stay.
        """
        if self._server is not None:
            self._server.close()
            self._server = None

    def discard_responses(self) -> None:
        """Forward requests and discard the responses, until `restore`."""
        self._discarding = True

    async def restore(self) -> None:
        """Forward everything again.

        Connections that lost responses are out of step, so they are dropped.
        """
        if self._discarding:
            self.drop_connections()
        self._discarding = False
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._own_port)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            responses, requests = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, requests}
        self._writers |= pair
        try:
            await asyncio.gather(self._forward(reader, requests), self._forward(responses, writer, response=True))
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, response: bool = False
    ) -> None:
        try:
            while data := await source.read(READ_BYTES):
                if not (response and self._discarding):
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()
