"""Injects faults into a running engine and checks after each that the work continues."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.config import Config
from tests.chaos.faults import FaultKind, FaultLog, InjectedFault
from tests.chaos.inspector import LeasedChunk, StateInspector
from tests.chaos.recovery import recovered_workers
from tests.chaos.socket_owners import socket_owner
from tests.fakes.provider import FakeProvider, Outcome
from tests.harness.engine_process import Engine, all_worker_pids, start_engine, stop_engine, suspend, worker_instance

POLL_SECONDS = 0.02
REDELIVERY_SECONDS = 1.0
OVERLAP_SHARE = 0.2  # of the faults come before the engine has recovered from the last one
MAX_ANSWERS_BETWEEN = 200
ONE_WORKER = (FaultKind.KILL_WORKER, FaultKind.STOP_WORKER, FaultKind.TERM_WORKER)


class NoProgress(Exception):
    """The work did not continue in time."""


class FaultInjector:
    """One engine after the other on the same data folder and port, as an async context."""

    def __init__(self, folder: Path, provider: FakeProvider, config: Config, fault_log: FaultLog) -> None:
        self._data_dir = folder / "data"
        self._provider = provider
        self._config = config
        self._rng = random.Random(config.seed)
        self._environ = config.environ(provider.url)
        self._engines: list[Engine] = []
        self._fault_log = fault_log
        self._seen_calls = 0
        self._workers: list[int] = []
        provider.identify = self._identify

    @property
    def engine(self) -> Engine:
        """The current engine."""
        return self._engines[-1]

    async def __aenter__(self) -> "FaultInjector":
        await self._start(port=0)
        self._inspector = StateInspector(self._data_dir)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._inspector.close()
        for engine in self._engines:
            stop_engine(engine)

    async def run(self, kinds: list[FaultKind]) -> None:
        """Inject a fault of each kind, in a random order.

        Raises NoProgress.
        """
        kinds = list(kinds)
        self._rng.shuffle(kinds)
        recovered = True
        for kind in kinds:
            if recovered:
                await self._wait_for_answers(self._rng.randint(1, MAX_ANSWERS_BETWEEN))
            fault = await self._inject(kind)
            fault.recovery_measured = recovered
            self._fault_log.faults.append(fault)
            recovered = self._rng.random() >= OVERLAP_SHARE
            if recovered:
                await self._wait_for_recovery(fault)
            self._fault_log.report(f"{len(self._fault_log.faults):>4} of {len(kinds)}  {kind}")

    async def _wait_for_answers(self, count: int) -> None:
        """Wait for some completions, so that faults occur during the work."""

        def enough() -> bool:
            new_calls = self._provider.call_log[self._seen_calls :]
            return sum(call.outcome is Outcome.ANSWERED for call in new_calls) >= count

        await self._until(enough, "there were no answers")
        self._seen_calls = len(self._provider.call_log)

    async def _inject(self, kind: FaultKind) -> InjectedFault:
        pids = await self._wait_for_workers()
        victim = await self._pick_holder(pids) if kind.suspends else self._rng.choice(pids)
        affected = frozenset([victim] if kind in ONE_WORKER else pids)
        at_risk = affected if kind is not FaultKind.STOP_AND_RESTART else {victim}
        leased = await self._inspector.leased_by([worker_instance(pid) for pid in at_risk])
        fault = InjectedFault(kind, affected, injected_at=time.monotonic(), leased_chunks=len(leased))
        if not kind.graceful:
            fault.allowed = len(at_risk) * self._config.max_in_flight + len(leased) * self._config.flush_count
        match kind:
            case FaultKind.KILL_WORKER:
                os.kill(victim, signal.SIGKILL)
            case FaultKind.TERM_WORKER:
                os.kill(victim, signal.SIGTERM)
                await self._until(lambda: not worker_instance(victim), "a worker did not exit after SIGTERM")
            case FaultKind.STOP_WORKER | FaultKind.STOP_AND_RESTART:
                await self._suspend(fault, victim, leased)
            case _:
                await self._end_engine(kind)
                await self._start(self.engine.port)
        fault.ended_at = min(fault.ended_at, time.monotonic())
        return fault

    async def _end_engine(self, kind: FaultKind) -> None:
        if kind is FaultKind.KILL_ALL:
            self.engine.kill_all()
        elif kind is FaultKind.TERM_ENGINE:
            code = await asyncio.to_thread(self.engine.terminate)
            if code != 0:
                raise NoProgress(f"the engine exited with code {code} after SIGTERM")
        else:
            self.engine.kill()

    async def _suspend(self, fault: InjectedFault, victim: int, leased: list[LeasedChunk]) -> None:
        """Suspend a worker for two leases.

        After the first lease, the messages of its chunks are delivered again.
        """
        suspend(victim)
        instance = worker_instance(victim)
        restart = None
        if fault.kind is FaultKind.STOP_AND_RESTART:
            self.engine.kill()
            suspend(victim)  # again, because the kernel resumes a suspended process whose parent exits
            restart = asyncio.create_task(self._start_with_retries(self.engine.port))
            await asyncio.wait([restart], timeout=2 * self._config.suspension_seconds)
        redelivering = asyncio.create_task(self._redeliver(instance))
        await asyncio.sleep(self._config.suspension_seconds)  # the length of the fault, not a synchronization
        os.kill(victim, signal.SIGCONT)
        fault.ended_at = time.monotonic()
        redelivering.cancel()  # it may still wait for a database lock that the suspended worker held
        await asyncio.gather(redelivering, return_exceptions=True)
        if restart:
            await restart
        fault.lost_leases = await self._inspector.count_claimed_again(leased)

    async def _redeliver(self, instance: str) -> None:
        """Deliver the messages of a worker's chunks again from the end of its lease on."""
        await asyncio.sleep(self._config.lease_seconds)
        while True:
            await self._inspector.redeliver(await self._inspector.leased_by([instance]))
            await asyncio.sleep(REDELIVERY_SECONDS)

    async def _wait_for_recovery(self, fault: InjectedFault) -> None:
        """Wait until every worker calls the provider and each lost call was repeated."""

        def recovered() -> bool:
            workers = recovered_workers(fault, self._provider.call_log, self._config.call_timeout_seconds)
            if len(workers) < self._config.workers:
                return False
            pids = self.engine.worker_pids
            return len(pids) == self._config.workers and workers >= set(pids)

        await self._until(recovered, f"the engine did not recover from {fault.kind}")
        fault.recovered_at = time.monotonic()

    async def _wait_for_workers(self) -> list[int]:
        pids: list[int] = []

        def complete() -> bool:
            pids[:] = [pid for pid in self.engine.worker_pids if worker_instance(pid)]
            return len(pids) == self._config.workers

        await self._until(complete, "a worker was not replaced")
        return pids

    async def _pick_holder(self, pids: list[int]) -> int:
        """Return a process that holds a chunk, so that its suspension has an effect."""
        deadline = time.monotonic() + self._config.recovery_seconds
        while time.monotonic() < deadline:
            holders = [pid for pid in pids if await self._inspector.leased_by([worker_instance(pid)])]
            if holders:
                return self._rng.choice(holders)
            await asyncio.sleep(POLL_SECONDS)
        raise NoProgress("no worker claims a chunk")

    async def _start(self, port: int) -> None:
        """Start an engine in a thread, because its workers call the provider before the engine is ready."""
        self._engines.append(await asyncio.to_thread(start_engine, self._data_dir, self._environ, port))

    async def _start_with_retries(self, port: int) -> None:
        """Start an engine as a supervisor does: with retries.

        No engine can start while a suspended worker holds the lock of the database.
        """
        deadline = time.monotonic() + self._config.recovery_seconds
        while True:
            try:
                return await self._start(port)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise NoProgress("no engine could start") from None
                self._fault_log.report("     the engine could not start while a suspended worker held the lock")

    async def _until(self, condition: Callable[[], bool], complaint: str) -> None:
        try:
            async with asyncio.timeout(self._config.recovery_seconds):
                while not condition():
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NoProgress(f"{complaint} within {self._config.recovery_seconds:g} s") from None

    def _identify(self, port: int) -> int:
        """Return the worker process at a port.

        New processes are listed when no known one has it.
        """
        pid = socket_owner(port, self._workers)
        if not pid:
            self._workers = all_worker_pids()
            pid = socket_owner(port, self._workers)
        return pid
