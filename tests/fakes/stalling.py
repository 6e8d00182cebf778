"""A process that stands still between two of its steps."""

import asyncio
from typing import Any


class Stalling:
    """A port; the call of the name `verb` that comes after `skip` others stands still until it is to go on."""

    def __init__(self, port: Any, verb: str, skip: int = 0) -> None:
        self._port = port
        self._verb = verb
        self._skip = skip
        self._reached = asyncio.Event()
        self._may_go_on = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        async def stall(*args: Any, **keywords: Any) -> Any:
            self._skip -= 1
            if self._skip < 0:
                self._reached.set()
                await self._may_go_on.wait()
            return await call(*args, **keywords)

        return stall if name == self._verb else call

    async def reached(self) -> None:
        """Wait until it stands still."""
        await self._reached.wait()

    def go_on(self) -> None:
        """Let it go on, and never stand still again."""
        self._may_go_on.set()
