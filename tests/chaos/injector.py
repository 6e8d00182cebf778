"""Strikes a running engine again and again, and sees each time that the work goes on."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.config import Config
from tests.chaos.faults import FaultLog, InjectedFault, Kind
from tests.chaos.inspector import Held, StateInspector
from tests.chaos.owners import owner_of
from tests.fakes.provider import Call, FakeProvider, Outcome
from tests.harness.engine_process import Engine, all_worker_pids, start_engine, stop_engine, suspend, worker_instance

POLL_SECONDS = 0.02
KNOCK_SECONDS = 1.0
IMPATIENCE = 0.2  # how often the next strike comes while the last one is not got over
CUT_OFF = (None, Outcome.ABORTED)


class Stuck(Exception):
    """The work did not go on in time."""


class FaultInjector:
    """One engine after the other on the same data folder and port. Use as an async context."""

    def __init__(self, folder: Path, provider: FakeProvider, terms: Config, diary: FaultLog) -> None:
        self._data_dir = folder / "data"
        self._provider = provider
        self._terms = terms
        self._rng = random.Random(terms.seed)
        self._environ = terms.environ(provider.url)
        self._engines: list[Engine] = []
        self._diary = diary
        self._seen = 0
        self._workers: list[int] = []
        provider.identify = self._identify

    @property
    def engine(self) -> Engine:
        """The present one."""
        return self._engines[-1]

    async def __aenter__(self) -> "FaultInjector":
        await self._start(port=0)
        self._desk = StateInspector(self._data_dir)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._desk.close()
        for engine in self._engines:
            stop_engine(engine)

    async def run(self, kinds: list[Kind]) -> None:
        """Strike with each kind, in an order by the seed. Raises Stuck."""
        kinds = list(kinds)
        self._rng.shuffle(kinds)
        patient = True
        for kind in kinds:
            if patient:
                await self._progress(self._rng.randint(1, 200))
            strike = await self._inject(kind)
            strike.alone = patient
            self._diary.strikes.append(strike)
            patient = self._rng.random() >= IMPATIENCE
            if patient:
                await self._recovery(strike)
            self._diary.tell(f"{len(self._diary.strikes):>4} of {len(kinds)}  {kind}")

    async def _progress(self, answers: int) -> None:
        """Wait for so many more good answers, so that strikes come in the midst of the work."""

        def enough() -> bool:
            return sum(call.outcome is Outcome.ANSWERED for call in self._provider.call_log[self._seen :]) >= answers

        await self._until(enough, "no answers came")
        self._seen = len(self._provider.call_log)

    async def _inject(self, kind: Kind) -> InjectedFault:
        pids = await self._worker_pids()
        one = kind in (Kind.KILL_WORKER, Kind.STOP_WORKER, Kind.TERM_WORKER)
        victim = await self._holder(pids) if kind.freezes else self._rng.choice(pids)
        hit = frozenset([victim] if one else pids)
        at_risk = hit if kind is not Kind.STOP_AND_RESTART else {victim}
        held = await self._desk.held_by([worker_instance(pid) for pid in at_risk])
        strike = InjectedFault(kind, hit, at=time.monotonic(), held=len(held))
        if not kind.graceful:
            strike.allowed = len(at_risk) * self._terms.in_flight + len(held) * self._terms.flush_answers
        match kind:
            case Kind.KILL_WORKER:
                os.kill(victim, signal.SIGKILL)
            case Kind.TERM_WORKER:
                os.kill(victim, signal.SIGTERM)
                await self._until(lambda: not worker_instance(victim), "a worker did not end at SIGTERM")
            case Kind.STOP_WORKER | Kind.STOP_AND_RESTART:
                await self._freeze(strike, victim, held)
            case _:
                await self._end_engine(kind)
                await self._start(self.engine.port)
        strike.until = min(strike.until, time.monotonic())
        return strike

    async def _end_engine(self, kind: Kind) -> None:
        if kind is Kind.KILL_ALL:
            self.engine.kill_all()
        elif kind is Kind.TERM_ENGINE:
            code = await asyncio.to_thread(self.engine.terminate)
            if code != 0:
                raise Stuck(f"the engine ended with code {code} at SIGTERM")
        else:
            self.engine.kill()

    async def _freeze(self, strike: InjectedFault, victim: int, held: list[Held]) -> None:
        """Stop a worker for two leases. From the end of the first on, its chunks' messages come again."""
        suspend(victim)
        instance = worker_instance(victim)
        restart = None
        if strike.kind is Kind.STOP_AND_RESTART:
            self.engine.kill()
            suspend(victim)  # again: the kernel wakes a stopped process when its parent goes
            restart = asyncio.create_task(self._start_at_last(self.engine.port))
            await asyncio.wait([restart], timeout=2 * self._terms.freeze)
        knocking = asyncio.create_task(self._redeliver(instance))
        await asyncio.sleep(self._terms.freeze)  # the freeze itself; the knocks may wait for a lock it holds
        os.kill(victim, signal.SIGCONT)
        strike.until = time.monotonic()
        knocking.cancel()
        await asyncio.gather(knocking, return_exceptions=True)
        if restart:
            await restart
        strike.fenced = await self._desk.taken_over(held)

    async def _redeliver(self, instance: str) -> None:
        """From the end of its lease on, bring the messages of the chunks it still holds once more."""
        await asyncio.sleep(self._terms.lease)
        while True:
            await self._desk.redeliver(await self._desk.held_by([instance]))
            await asyncio.sleep(KNOCK_SECONDS)

    async def _recovery(self, strike: InjectedFault) -> None:
        """Wait until every worker there should be answers again, and what was cut off has been asked again."""
        ledger, since = self._provider.call_log, strike.until if strike.kind.freezes else strike.at

        def recovered() -> bool:
            recent = _since(ledger, strike.at - self._terms.call_timeout)
            fresh = [call for call in recent if call.started_at > since and call.outcome not in CUT_OFF]
            again = {call.prompt for call in recent if call.started_at > strike.at and call.outcome not in CUT_OFF}
            cut_off = {call.prompt for call in recent if call.caller in strike.hit and _cut_off(call, strike)}
            serving = {call.caller for call in fresh}
            if len(serving) < self._terms.workers or not cut_off <= again:
                return False
            return serving >= set(self.engine.worker_pids) and len(self.engine.worker_pids) == self._terms.workers

        await self._until(recovered, f"{strike.kind} was not got over")
        strike.recovered_at = time.monotonic()

    async def _worker_pids(self) -> list[int]:
        pids: list[int] = []

        def complete() -> bool:
            pids[:] = [pid for pid in self.engine.worker_pids if worker_instance(pid)]
            return len(pids) == self._terms.workers

        await self._until(complete, "a worker was not replaced")
        return pids

    async def _holder(self, pids: list[int]) -> int:
        """One of the processes that holds a chunk, so that a freeze has something to freeze."""
        deadline = time.monotonic() + self._terms.recovery
        while time.monotonic() < deadline:
            holders = [pid for pid in pids if await self._desk.held_by([worker_instance(pid)])]
            if holders:
                return self._rng.choice(holders)
            await asyncio.sleep(POLL_SECONDS)
        raise Stuck("no worker takes a chunk")

    async def _start(self, port: int) -> None:
        """An engine takes a while to start, and its workers call the provider before it says that it is ready."""
        self._engines.append(await asyncio.to_thread(start_engine, self._data_dir, self._environ, port))

    async def _start_at_last(self, port: int) -> None:
        """Start as a supervisor does: a frozen worker that holds the database's lock lets no engine start."""
        deadline = time.monotonic() + self._terms.recovery
        while True:
            try:
                return await self._start(port)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise Stuck("no engine could be started") from None
                self._diary.tell("     the engine did not start while a frozen worker held the database's lock")

    async def _until(self, condition: Callable[[], bool], complaint: str) -> None:
        try:
            async with asyncio.timeout(self._terms.recovery):
                while not condition():
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise Stuck(f"{complaint} within {self._terms.recovery:g} s") from None

    def _identify(self, port: int) -> int:
        """The worker process at a port. Processes that are new since the last question are found at a miss."""
        pid = owner_of(port, self._workers)
        if not pid:
            self._workers = all_worker_pids()
            pid = owner_of(port, self._workers)
        return pid


def _since(ledger: list[Call], moment: float) -> list[Call]:
    """The calls that began after a moment."""
    first = len(ledger)
    while first and ledger[first - 1].started_at > moment:
        first -= 1
    return ledger[first:]


def _cut_off(call: Call, strike: InjectedFault) -> bool:
    """Whether the strike took the caller of a call away from it."""
    ended_at = call.ended_at or float("inf")
    return call.outcome in CUT_OFF and call.started_at <= strike.reaches and ended_at >= strike.at
