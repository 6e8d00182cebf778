"""Instances: each a real context on the shared storage, with faults at every call to a port."""

import asyncio
import contextvars
import random
from typing import TYPE_CHECKING

from promptforge.bootstrap import build_context, set_current
from promptforge.context import AppContext
from promptforge.engine.http_app import api_app
from promptforge.ports.clock import Clock
from promptforge.settings import Settings
from promptforge.worker.runtime import WorkerRuntime
from tests.harness.context import with_adapters
from tests.simulation.faults import STEP_PROBABILITY
from tests.simulation.ports import FaultyDocuments, FaultyObjects, FaultyTasks, FaultyTopics
from tests.simulation.provider import SimulatedProvider

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

EPOCH = 1_800_057_000.0  # ten minutes before midnight (UTC), so that runs cross the end of a quota day
KILL_AFTER_SIGTERM_SECONDS = 10.0


class SimulatedClock:
    """The clock of an instance: the time of the loop, `skew` seconds off."""

    def __init__(self, skew: float = 0.0) -> None:
        self.skew = skew

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() + self.skew


def build_instance_context(simulator: "Simulator", clock: Clock) -> AppContext:
    """Return a context on the folder of the run, with random numbers from the seed."""
    settings = Settings(data_dir=simulator.folder, public_url="http://simulation", **simulator.plan.settings)
    return build_context(settings, clock, random.Random(simulator.rng.getrandbits(64)))


class Instance:
    """One instance of every function.

    After a crash its calls to ports never return, as if the process did not exist. After a stall it continues without
    having noticed. `variables` holds the context variables of its tasks.
    """

    def __init__(self, simulator: "Simulator", number: int) -> None:
        self.simulator = simulator
        self.name = f"instance-{number}"
        self.alive = True
        self.stalled_until = 0.0
        self.stopping = False
        self.crashed = asyncio.Event()
        skewed = "clock_skew" in simulator.plan.faults and simulator.rng.random() < 0.5
        self.clock = SimulatedClock(simulator.rng.uniform(-300, 300) if skewed else simulator.rng.uniform(-1, 1))
        if skewed:
            simulator.record_fault("clock_skew", self.name)
        self.context = self._with_faults(build_instance_context(simulator, self.clock))
        self.api = api_app(self.context, simulator.platform.wake)
        self.variables = contextvars.copy_context()
        runtime = WorkerRuntime(self.context, lambda name: SimulatedProvider(self), self.name)
        self.variables.run(set_current, self.context, runtime)

    def _with_faults(self, context: AppContext) -> AppContext:
        backend = context.backend
        return with_adapters(
            context,
            documents=FaultyDocuments(self, backend.documents),
            uploads=FaultyObjects(self, backend.uploads, "uploads"),
            work=FaultyObjects(self, backend.work, "work"),
            results=FaultyObjects(self, backend.results, "results"),
            topics=FaultyTopics(self, backend.topics),
            tasks=FaultyTasks(self, backend.tasks),
        )

    async def step(self, point: str) -> None:
        """Let the instance crash or stall here.

        After a crash this never returns.
        """
        simulator = self.simulator
        if simulator.finished:
            raise asyncio.CancelledError
        if self.alive and simulator.draws("crash", STEP_PROBABILITY / 4):
            simulator.record_fault("crash", f"{self.name} at {point}")
            self.crash()
        if self.alive and simulator.draws("stall", STEP_PROBABILITY / 2):
            self.stall(point)
        while self.alive and (seconds := self.stalled_until - simulator.now) > 0:
            await asyncio.sleep(seconds)
        if not self.alive:
            await simulator.block_forever()

    def crash(self) -> None:
        """End the instance, as SIGKILL does."""
        if self.alive:
            self.alive = False
            self.simulator.note(f"{self.name} crashes")
            self.simulator.record_loss(self)
            self.crashed.set()

    def stall(self, point: str) -> None:
        """Stop the instance for some time, as SIGSTOP and a later SIGCONT do."""
        seconds = self.simulator.rng.choice((20, 90, 240)) * self.simulator.rng.random()
        self.simulator.record_fault("stall", f"{self.name} for {seconds:.0f} s at {point}")
        self.stalled_until = max(self.stalled_until, self.simulator.now + seconds)
        self.simulator.record_loss(self, self.stalled_until - self.simulator.now)

    async def terminate(self) -> None:
        """Send SIGTERM, and SIGKILL ten seconds later."""
        self.stopping = True
        self.context.stopping.set()
        await asyncio.sleep(KILL_AFTER_SIGTERM_SECONDS)
        self.crash()
