"""A bounded number of threads for a library that blocks, started when they are first needed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

from promptforge.errors import Unavailable

T = TypeVar("T")


class Threads:
    """At most `number` calls at once.

    A call without an answer in `seconds` after its request is abandoned.
    """

    def __init__(self, name: str, number: int, seconds: float) -> None:
        self._name, self._seconds = name, seconds
        self._pool = ThreadPoolExecutor(number, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread and return its value.

        Raises Unavailable when it takes too long; it may still have an effect then.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except TimeoutError as exc:
            raise Unavailable(self._name, "timeout") from exc

    def start(self, call: Callable[[], object]) -> None:
        """Start a call without waiting for its outcome, unless the threads are closed."""
        with suppress(RuntimeError):
            self._pool.submit(call)

    def close(self) -> None:
        """Accept no more calls, and drop those that wait for a thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Lazy(Generic[T]):
    """A value that is created at the first call, once, from any thread."""

    def __init__(self, create: Callable[[], T]) -> None:
        self._create, self._lock = create, Lock()
        self._value: T | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._value is None:
                self._value = self._create()
            return self._value

    def get_if_created(self) -> T | None:
        """Return the value if it exists."""
        return self._value
