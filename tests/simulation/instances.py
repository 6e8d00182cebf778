"""Machines: each a real App on the shared store, whose every call to a port can go wrong."""

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
from tests.simulation.faults import STEP
from tests.simulation.ports import FaultyDocuments, FaultyObjects, FaultyTasks, FaultyTopics
from tests.simulation.provider import SimulatedProvider

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

EPOCH = 1_800_057_000.0  # ten minutes before midnight (UTC)
KILL_AFTER_SIGTERM_SECONDS = 10.0


class SimulatedClock:
    """The time of day on a machine: the loop's, and `skew` seconds off."""

    def __init__(self, skew: float = 0.0) -> None:
        self.skew = skew

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() + self.skew


def build_instance_context(world: "Simulator", clock: Clock) -> AppContext:
    """The product on this folder, with chance from the seed."""
    settings = Settings(data_dir=world.folder, public_url="http://simulation", **world.plan.settings)
    return build_context(settings, clock, random.Random(world.rng.getrandbits(64)))


class Instance:
    """One instance of every function. A dead one never goes on: its calls to ports do not return, as if its process
    were gone; a frozen one goes on later, without having noticed."""

    def __init__(self, world: "Simulator", number: int) -> None:
        self.world = world
        self.name = f"m{number}"
        self.alive = True
        self.frozen_until = 0.0
        self.stopping = False
        self.died = asyncio.Event()
        skewed = "clock_skew" in world.plan.faults and world.rng.random() < 0.5
        self.clock = SimulatedClock(world.rng.uniform(-300, 300) if skewed else world.rng.uniform(-1, 1))
        if skewed:
            world.fire("clock_skew", self.name)
        self.app = self._wrapped(build_instance_context(world, self.clock))
        self.front = api_app(self.app, world.platform.wake)
        self.context = contextvars.copy_context()
        runtime = WorkerRuntime(self.app, lambda name: SimulatedProvider(self), self.name)
        self.context.run(set_current, self.app, runtime)

    def _wrapped(self, app: AppContext) -> AppContext:
        backend = app.backend
        return with_adapters(
            app,
            documents=FaultyDocuments(self, backend.documents),
            uploads=FaultyObjects(self, backend.uploads, "uploads"),
            work=FaultyObjects(self, backend.work, "work"),
            results=FaultyObjects(self, backend.results, "results"),
            topics=FaultyTopics(self, backend.topics),
            tasks=FaultyTasks(self, backend.tasks),
        )

    async def reach(self, point: str) -> None:
        """Where a machine may die, stand still, or turn out to be dead."""
        world = self.world
        if world.over:
            raise asyncio.CancelledError
        if self.alive and world.chance("crash", STEP / 4):
            world.fire("crash", f"{self.name} at {point}")
            self.crash()
        if self.alive and world.chance("freeze", STEP / 2):
            self.freeze(point)
        while self.alive and (wait := self.frozen_until - world.now) > 0:
            await asyncio.sleep(wait)
        if not self.alive:
            await world.end_of_time()

    def crash(self) -> None:
        """SIGKILL."""
        if self.alive:
            self.alive = False
            self.world.note(f"{self.name} dies")
            self.world.lost(self)
            self.died.set()

    def freeze(self, point: str) -> None:
        """SIGSTOP, and SIGCONT later."""
        seconds = self.world.rng.choice((20, 90, 240)) * self.world.rng.random()
        self.world.fire("freeze", f"{self.name} for {seconds:.0f} s at {point}")
        self.frozen_until = max(self.frozen_until, self.world.now + seconds)
        self.world.lost(self, self.frozen_until - self.world.now)

    async def terminate(self) -> None:
        """SIGTERM, and SIGKILL ten seconds later."""
        self.stopping = True
        self.app.stopping.set()
        await asyncio.sleep(KILL_AFTER_SIGTERM_SECONDS)
        self.crash()
