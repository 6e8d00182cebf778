"""An event loop whose time is a number and whose order of callbacks is drawn from a seed."""

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
    """Nothing is ready and no timer is set: whoever waits, waits for ever."""


class Livelock(Exception):
    """Far more rounds than any run needs."""


class _Task(asyncio.Task[Any]):
    """A task whose place in a set depends on when it was made, not on its address in memory."""

    numbers = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.number = next(_Task.numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Jumps from timer to timer, runs whatever is ready in random order, and runs "threads" in between.

    asyncio promises first come, first served among ready callbacks; no correct program may build on that between
    tasks, so any order is fair. Of the loop's inside this uses `_ready` and `_scheduled`, unchanged since Python 3.4.
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
        """One round: what is ready now, shuffled; what that makes ready comes in the next round."""
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
        """What a thread would do, done in one go in a later round. Who stops waiting for a thread does not stop it,
        unless it had not begun."""
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
