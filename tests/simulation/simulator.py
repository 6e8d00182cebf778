"""One run: a seed in, a verdict out."""

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
from tests.simulation.faults import STEP, draw
from tests.simulation.instances import Instance
from tests.simulation.invariants import InvariantChecker
from tests.simulation.loop import Deadlock, Livelock, SimulatedLoop
from tests.simulation.platform import Platform
from tests.simulation.provider import Call

SECRET = b"S" * 32
AFTERMATH_SECONDS = 400.0  # what still goes on after the end must change nothing
MEMORY = Path("/dev/shm")  # where it exists, files cost nothing


@dataclass
class Outcome:
    """What a run came to. `digest` stands for the whole trace: equal digests, equal runs."""

    seed: int
    violations: list[str]
    fired: Counter[str]
    digest: str
    prompts: int = 0
    calls: int = 0
    paid_twice: int = 0
    contended: int = 0
    losses: int = 0
    simulated_seconds: float = 0.0
    trace: list[str] = field(default_factory=list)


class Simulator:
    """Everything that takes part in a run, and what it has in common: chance, time, the trace."""

    def __init__(self, seed: int, folder: Path, loop: SimulatedLoop) -> None:
        self.seed = seed
        self.folder = folder
        self.rng = random.Random(f"world {seed}")
        self.plan = draw(random.Random(f"plan {seed}"))
        self.loop = loop
        self.log = io.StringIO()
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.fired: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.losses: list[tuple[float, str]] = []
        self.contended = 0
        self.over = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.knows_its_dead = self.rng.random() < 0.5
        self.platform = Platform(self)
        self.money = CostAccounting(self)
        self.referee = InvariantChecker(self)
        self.clients = Clients(self)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self.loop.time()

    def chance(self, fault: str, share: float) -> bool:
        """Whether a fault of this run happens here and now."""
        return fault in self.plan.faults and self.now < self.plan.calm_at and self.rng.random() < share

    def fire(self, fault: str, where: str) -> None:
        """A fault happens."""
        self.fired[fault] += 1
        self.note(f"FAULT {fault}: {where}")

    def note(self, event: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now:12.6f} {event}")

    def expect(self, holds: bool, claim: str) -> None:
        """Something that must hold, always."""
        if not holds:
            self.note(f"VIOLATION {claim}")
            self.violations.append(claim)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start something that goes on by itself."""
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    def lost(self, machine: Instance, seconds: float = 0.0) -> None:
        """A machine dies, or stands still for so long: what it had in its hands may have to be paid again."""
        self.losses.append((self.now + seconds, machine.name))

    async def pause(self, point: str) -> None:
        """A call takes its time."""
        if self.chance("slow_store", STEP):
            self.fire("slow_store", point)
            await asyncio.sleep(self.rng.uniform(1, 30))
        await asyncio.sleep(self.rng.expovariate(1 / 0.005))

    def in_outage(self, point: str) -> bool:
        """Whether the documents are out of reach."""
        documents = point.startswith(("get ", "commit ", "query ", "count ", "sum "))
        return documents and any(start <= self.now < end for start, end in self.plan.outages)

    def fate_of_call(self, prompt: str) -> str:
        """What the provider makes of a call."""
        for kind in ("refusal", "hopeless"):
            if f" {kind} " in prompt:
                return self._fired(kind) if kind == "hopeless" else kind
        if self.now >= self.plan.bad_key_at:
            return self._fired("bad_key")
        if any(start <= self.now < end for start, end in self.plan.storms):
            return self._fired("storm")
        for fate, share in (("throttle", 0.2), ("server_error", 0.15), ("hang", 0.05), ("slow_answer", 0.1)):
            if self.chance(fate, share):
                return self._fired(fate)
        return "answer"

    def _fired(self, fault: str) -> str:
        self.fire(fault, "provider")
        return fault

    async def end_of_time(self) -> None:
        """Where dead machines wait."""
        await self.loop.create_future()

    async def run(self) -> None:
        """Everything, from the first order to the last echo."""
        logs.configure("INFO", self.log)
        if "short_deadline" in self.plan.faults:
            self.fire("short_deadline", "job_seconds")
        self.platform.start()
        limit = self.plan.calm_at + float(str(self.plan.settings["job_seconds"])) + 7200
        try:
            async with asyncio.timeout(limit):
                await self.clients.run()
        except TimeoutError:
            self.expect(False, "every job ends")
        self.referee.at_the_end(self.clients.orders)
        await asyncio.sleep(AFTERMATH_SECONDS)
        await self.referee.afterwards(self.clients.orders)
        self.over = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def simulate(seed: int) -> Outcome:
    """Run one seed from beginning to end."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None))
    (folder / "secret").write_bytes(SECRET)
    loop = SimulatedLoop(random.Random(f"loop {seed}"))
    asyncio.set_event_loop(loop)
    collecting = gc.isenabled()
    gc.disable()  # when the garbage is collected must not depend on what ran before
    world: Simulator | None = None
    try:
        world = _run(seed, folder, loop)
        return _outcome(world)
    finally:
        if world:
            for machine in world.platform.machines:
                machine.app.backend.release()
            world.platform.database.close()
            world.referee.app.backend.release()
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder)
        if collecting:
            gc.enable()


def _run(seed: int, folder: Path, loop: SimulatedLoop) -> Simulator:
    async def build() -> Simulator:
        return Simulator(seed, folder, loop)

    world = loop.run_until_complete(build())
    loop.set_exception_handler(lambda _, context: world.expect(world.over, f"unheard: {context}"))
    try:
        loop.run_until_complete(world.run())
    except (Deadlock, Livelock) as exc:
        world.expect(False, f"the world goes on: {type(exc).__name__}")
        world.over = True
    return world


def _outcome(world: Simulator) -> Outcome:
    return Outcome(
        seed=world.seed,
        violations=world.violations,
        fired=world.fired,
        digest=hashlib.sha256("\n".join(world.trace).encode()).hexdigest()[:16],
        prompts=sum(bool(line.prompt) for order in world.clients.orders for line in order.lines),
        calls=len(world.calls),
        paid_twice=world.referee.paid_twice,
        contended=world.contended,
        losses=len(world.losses),
        simulated_seconds=world.now,
        trace=world.trace,
    )
