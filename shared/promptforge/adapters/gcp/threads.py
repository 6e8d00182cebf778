"""Threads for a library that blocks: as many as were asked for, made when they are first needed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

from promptforge.errors import Unavailable

T = TypeVar("T")


class Threads:
    """At most `number` calls at once. One without an answer in `seconds`, from when it was asked for, is given up."""

    def __init__(self, name: str, number: int, seconds: float) -> None:
        self._name, self._seconds = name, seconds
        self._pool = ThreadPoolExecutor(number, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` answers in a thread. Raises Unavailable when it takes too long; it may still act then."""
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except TimeoutError as exc:
            raise Unavailable(f"{self._name}: no answer in {self._seconds:g} s") from exc

    def start(self, call: Callable[[], object]) -> None:
        """Make a call whose outcome nobody waits for, unless the threads are closed."""
        with suppress(RuntimeError):
            self._pool.submit(call)

    def close(self) -> None:
        """Take no more calls, and drop those that wait for a thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Lazy(Generic[T]):
    """What is made at the first call, once, whichever threads call first."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock = make, Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def get_if_created(self) -> list[T]:
        """What was made, if it was."""
        return self._made
