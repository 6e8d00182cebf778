"""One run: a seed in, an outcome out."""

import asyncio
import gc
import hashlib
import io
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptforge import logs
from tests.simulation.clients import Clients
from tests.simulation.cost_accounting import CostAccounting
from tests.simulation.faults import STEP_PROBABILITY, draw_plan
from tests.simulation.instances import Instance
from tests.simulation.invariants import InvariantChecker
from tests.simulation.loop import Deadlock, Livelock, SimulatedLoop
from tests.simulation.platform import Platform
from tests.simulation.provider import Call

SECRET = b"S" * 32
OBSERVATION_SECONDS = 400.0  # background work that continues after the last job must change nothing
GRACE_SECONDS = 7200.0
MEMORY_FOLDER = Path("/dev/shm")  # where it exists, files need no disk


@dataclass
class Outcome:
    """The outcome of a run.

    `digest` is the hash of the trace: equal digests mean equal runs.
    """

    seed: int
    violations: list[str]
    fault_counts: Counter[str]
    digest: str
    prompts: int = 0
    calls: int = 0
    repeated_calls: int = 0
    conflicts: int = 0
    losses: int = 0
    simulated_seconds: float = 0.0
    trace: list[str] = field(default_factory=list)


class Simulator:
    """The parts of a run and their common state: random numbers, time, faults and the trace.

    `losses` holds, for each crash and stall, when it ends and which instance it hits.
    `detects_crashes` tells whether the platform expires the leases of a crashed instance, as the engine does.
    """

    def __init__(self, seed: int, folder: Path, loop: SimulatedLoop) -> None:
        self.seed = seed
        self.folder = folder
        self.rng = random.Random(f"world {seed}")
        self.plan = draw_plan(random.Random(f"plan {seed}"))
        self.loop = loop
        self.log = io.StringIO()
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.fault_counts: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.losses: list[tuple[float, str]] = []
        self.conflicts = 0
        self.finished = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.detects_crashes = self.rng.random() < 0.5
        self.platform = Platform(self)
        self.costs = CostAccounting(self)
        self.checker = InvariantChecker(self)
        self.clients = Clients(self)

    @property
    def now(self) -> float:
        """Seconds since the start of the run."""
        return self.loop.time()

    def draws(self, fault: str, probability: float) -> bool:
        """Return whether a fault of the plan occurs now."""
        return fault in self.plan.faults and self.now < self.plan.faults_end_at and self.rng.random() < probability

    def record_fault(self, fault: str, where: str) -> None:
        """Count a fault that occurs and add it to the trace."""
        self.fault_counts[fault] += 1
        self.note(f"FAULT {fault}: {where}")

    def note(self, event: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now:12.6f} {event}")

    def expect(self, holds: bool, claim: str) -> None:
        """Record a violation unless the claim holds."""
        if not holds:
            self.note(f"VIOLATION {claim}")
            self.violations.append(claim)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a background task, which is cancelled at the end of the run."""
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    def record_loss(self, instance: Instance, seconds: float = 0.0) -> None:
        """Record a crash, or a stall of some seconds.

        Calls of this instance may be repeated.
        """
        self.losses.append((self.now + seconds, instance.name))

    async def pause(self, point: str) -> None:
        """Wait for the latency of a store."""
        if self.draws("slow_store", STEP_PROBABILITY):
            self.record_fault("slow_store", point)
            await asyncio.sleep(self.rng.uniform(1, 30))
        await asyncio.sleep(self.rng.expovariate(1 / 0.005))

    def in_outage(self, point: str) -> bool:
        """Return whether this is a call to the documents during an outage."""
        documents = point.startswith(("get ", "commit ", "query ", "count ", "sum "))
        return documents and any(start <= self.now < end for start, end in self.plan.outages)

    def draw_call_fault(self, prompt: str) -> str | None:
        """Return the fault of a provider call, "rejected" for a prompt that the provider rejects, or None."""
        if " rejected " in prompt:
            return "rejected"
        fault = self._call_fault(prompt)
        if fault:
            self.record_fault(fault, "provider")
        return fault

    def _call_fault(self, prompt: str) -> str | None:
        if " always_failing " in prompt:
            return "always_failing"
        if self.now >= self.plan.key_rejected_at:
            return "rejected_key"
        if any(start <= self.now < end for start, end in self.plan.throttled_periods):
            return "throttled_period"
        probabilities = {"throttled": 0.2, "server_error": 0.15, "no_response": 0.05, "slow_response": 0.1}
        return next((fault for fault, probability in probabilities.items() if self.draws(fault, probability)), None)

    async def block_forever(self) -> None:
        """Never return: the state of a coroutine in a crashed instance."""
        await self.loop.create_future()

    async def run(self) -> None:
        """Run every job, check the results, observe the background work and check the remaining data."""
        logs.configure("INFO", self.log)
        if "short_deadline" in self.plan.faults:
            self.record_fault("short_deadline", "job_seconds")
        self.platform.start()
        limit = self.plan.faults_end_at + float(str(self.plan.settings["job_seconds"])) + GRACE_SECONDS
        try:
            async with asyncio.timeout(limit):
                await self.clients.run()
        except TimeoutError:
            self.expect(False, "every job finishes")
        self.checker.check_end(self.clients.jobs)
        await asyncio.sleep(OBSERVATION_SECONDS)
        await self.checker.check_remaining_data(self.clients.jobs)
        self.finished = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        # A cancelled task leaves its generators to the loop, which closes them in later rounds.
        await asyncio.get_running_loop().shutdown_asyncgens()
        await asyncio.sleep(OBSERVATION_SECONDS)


def simulate(seed: int) -> Outcome:
    """Run one seed."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None))
    (folder / "secret").write_bytes(SECRET)
    loop = SimulatedLoop(random.Random(f"loop {seed}"))
    asyncio.set_event_loop(loop)
    collecting = gc.isenabled()
    gc.disable()  # the time of a collection would depend on earlier runs
    simulator: Simulator | None = None
    try:
        simulator = _run(seed, folder, loop)
        return _outcome(simulator)
    finally:
        if simulator:
            for instance in simulator.platform.instances:
                instance.context.backend.release()
            simulator.platform.database.close()
            simulator.checker.context.backend.release()
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder)
        if collecting:
            gc.enable()


def _run(seed: int, folder: Path, loop: SimulatedLoop) -> Simulator:
    async def build() -> Simulator:
        return Simulator(seed, folder, loop)

    simulator = loop.run_until_complete(build())
    loop.set_exception_handler(
        lambda _, context: simulator.expect(simulator.finished, f"no exception is unhandled: {context}")
    )
    try:
        loop.run_until_complete(simulator.run())
    except (Deadlock, Livelock) as exc:
        simulator.expect(False, f"the run continues: {type(exc).__name__}")
        simulator.finished = True
    return simulator


def _outcome(simulator: Simulator) -> Outcome:
    return Outcome(
        seed=simulator.seed,
        violations=simulator.violations,
        fault_counts=simulator.fault_counts,
        digest=hashlib.sha256("\n".join(simulator.trace).encode()).hexdigest()[:16],
        prompts=sum(bool(line.prompt) for job in simulator.clients.jobs for line in job.lines),
        calls=len(simulator.calls),
        repeated_calls=simulator.checker.repeated_calls,
        conflicts=simulator.conflicts,
        losses=len(simulator.losses),
        simulated_seconds=simulator.now,
        trace=simulator.trace,
    )
