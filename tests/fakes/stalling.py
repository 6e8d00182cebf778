"""A port with a stall: a pause of the process between two of its steps."""

import asyncio
from typing import Any


class StallingPort:
    """A port.

    The call of the method `verb` that follows `skip` others stalls until `resume`.
    """

    def __init__(self, port: Any, verb: str, skip: int = 0) -> None:
        self._port = port
        self._verb = verb
        self._skip = skip
        self._stalled = asyncio.Event()
        self._resumed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        async def stall(*args: Any, **keywords: Any) -> Any:
            self._skip -= 1
            if self._skip < 0:
                self._stalled.set()
                await self._resumed.wait()
            return await call(*args, **keywords)

        return stall if name == self._verb else call

    async def wait_until_stalled(self) -> None:
        """Return when the call stalls."""
        await self._stalled.wait()

    def resume(self) -> None:
        """Continue the call.

        No later call stalls.
        """
        self._resumed.set()
