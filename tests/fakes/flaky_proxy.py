"""A network that fails when a test says so."""

import asyncio
from typing import Self

from tests.harness.emulators import free_port


class FlakyProxy:
    """A TCP proxy on loopback in front of `target`, at an address of its own that stays the same."""

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._own_port = free_port()  # nobody takes it while it is refused
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._muted = False

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self.cut()
        if self._under_way:
            await asyncio.wait(self._under_way)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._own_port}"

    def cut(self) -> None:
        """Drop every connection there is, in the middle of what it carries."""
        for writer in self._writers:
            writer.transport.abort()

    def refuse(self) -> None:
        """Refuse new connections; those there are stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def mute(self) -> None:
        """Let requests through and answers vanish, until `resume`."""
        self._muted = True

    async def resume(self) -> None:
        """Be a good network again. Connections that lost answers are of no use any more, and are cut."""
        if self._muted:
            self.cut()
        self._muted = False
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._own_port)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, requests = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, requests}
        self._writers |= pair
        try:
            await asyncio.gather(self._pump(reader, requests), self._pump(answers, writer, answering=True))
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answering: bool = False) -> None:
        try:
            while data := await source.read(65536):
                if not (answering and self._muted):
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()
