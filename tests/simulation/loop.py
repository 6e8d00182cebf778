"""An event loop with virtual time.

A seed decides the order of its callbacks.
"""

import asyncio
import contextvars
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

MAX_ROUNDS = 400_000


class Deadlock(Exception):
    """No callback is ready and no timer is set, so the loop can never continue."""


class Livelock(Exception):
    """The loop had far more rounds than any run requires."""


class _Task(asyncio.Task[Any]):
    """A task whose position in a set depends on the order of creation, not on its address in memory."""

    numbers = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.number = next(_Task.numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Jumps from timer to timer, runs ready callbacks in random order, and runs the work of threads in between.

    asyncio promises first in, first out among ready callbacks. No correct program relies on that between tasks, so
    every order is a valid one. The loop uses the private attributes `_ready` and `_scheduled` of its base class, which
    are unchanged since Python 3.4.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = 0.0
        self.rounds = 0
        _Task.numbers = itertools.count()
        self.set_task_factory(_make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        """Run one round: the ready callbacks, shuffled.

        Callbacks that become ready meanwhile run in the next one.
        """
        self.rounds += 1
        if self.rounds > MAX_ROUNDS:
            raise Livelock
        timers = self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if not self._ready:
            if not timers:
                raise Deadlock
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            self._ready.append(heapq.heappop(timers))
        handles = list(self._ready)
        self._ready.clear()
        if len(handles) > 1:
            self._rng.shuffle(handles)
        for handle in handles:
            if not handle.cancelled():
                handle._run()

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run the work of a thread in one go, in a later round.

        Cancelling the future does not stop a thread that has started, so half of the cancelled work still runs.
        """
        future = self.create_future()

        def run() -> None:
            if future.cancelled() and self._rng.random() < 0.5:
                return
            try:
                value = func(*args)
            except Exception as exc:
                if not future.done():
                    future.set_exception(exc)
            else:
                if not future.done():
                    future.set_result(value)

        self.call_soon(run)
        return future


def _make_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    *,
    name: str | None = None,
    context: contextvars.Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    return _Task(coro, loop=loop, name=name, context=context, **options)
