"""The platform: brings deliveries to machines at least once, as badly as the plan wants; runs the timer; keeps enough
machines alive."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from promptforge.adapters.local.database import Database
from promptforge.adapters.local.queue import Delivery, SqliteQueue
from promptforge.domain.commands import SweepJobs
from promptforge.engine.load_functions import load_function
from promptforge.engine.push_requests import SUBSCRIPTIONS, push_request
from promptforge.pipeline.sweep import expire_leases
from tests.simulation.http import Reply, request
from tests.simulation.instances import Instance, SimulatedClock

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tests.simulation.simulator import Simulator

SWEEP_SECONDS = 60.0
AT_ONCE = 4  # deliveries of one source for each machine
LIMIT_SECONDS = 540.0


class Platform:
    """Everything that is not a machine."""

    def __init__(self, world: "Simulator") -> None:
        self.world = world
        self.database = Database(world.folder / "state.db")
        self.deliveries = SqliteQueue(self.database, SimulatedClock())
        self.machines: list[Instance] = []
        self._made = 0
        self._news = asyncio.Event()
        self._under_way = dict.fromkeys(SUBSCRIPTIONS, 0)

    def wake(self) -> None:
        """There may be something to deliver."""
        self._news.set()

    def start(self) -> None:
        """Start the machines and everything that goes on by itself."""
        for _ in range(self.world.rng.choice((1, 2, 3))):
            self.world.spawn(self._keep_alive())
        self.world.spawn(self._deliver_all())
        self.world.spawn(self._sweep())

    def machine(self) -> Instance | None:
        """One that takes requests, by chance."""
        ready = [machine for machine in self.machines if machine.alive and not machine.stopping]
        return self.world.rng.choice(ready) if ready else None

    async def call(
        self,
        app: "ASGIApp",
        machine: Instance,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        limit: float,
    ) -> Reply:
        """A request to a machine: its answer; one of status 0 if none came in time or the machine died."""
        loop = asyncio.get_running_loop()
        work = loop.create_task(request(app, method, url, headers, body), context=machine.context.copy())
        self.world.tasks.append(work)
        death = self.world.spawn(machine.died.wait())
        await asyncio.wait([work, death], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        return work.result() if work.done() and not work.cancelled() and machine.alive else Reply()

    async def _keep_alive(self) -> None:
        """A seat: a machine, and the next one when it is gone."""
        world = self.world
        while True:
            machine = Instance(world, self._made)
            self._made += 1
            self.machines.append(machine)
            world.note(f"{machine.name} starts")
            await self._life_of(machine)
            await asyncio.sleep(world.rng.uniform(0.1, 20))
            if world.knows_its_dead:
                world.spawn(self._clean_up_after(machine))

    async def _life_of(self, machine: Instance) -> None:
        world = self.world
        while machine.alive:
            try:
                await asyncio.wait_for(machine.died.wait(), world.rng.expovariate(1 / 60))
            except TimeoutError:
                if world.chance("freeze", 0.3):
                    machine.freeze("any point")
                elif world.chance("sigterm", 0.3):
                    world.fire("sigterm", machine.name)
                    await machine.terminate()

    async def _clean_up_after(self, machine: Instance) -> None:
        """What the engine of one machine does when a worker process dies."""
        while True:
            alive = self.machine()
            if alive is None:
                await asyncio.sleep(1)
                continue
            work = asyncio.get_running_loop().create_task(expire_leases(alive.app, machine.name))
            death = self.world.spawn(alive.died.wait())
            self.world.tasks.append(work)
            await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
            death.cancel()
            if work.done() and not work.exception():
                return
            await asyncio.sleep(1)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            task = Delivery(0, "queue:sweeper", SweepJobs().encode(), 1)
            self.world.spawn(self._send(task))

    async def _deliver_all(self) -> None:
        while True:
            self._news.clear()
            for source in await self.deliveries.sources_due(list(SUBSCRIPTIONS)):
                free = AT_ONCE * len(self.machines) - self._under_way[source]
                if free > 0:
                    for delivery in await self.deliveries.claim(source, free, SUBSCRIPTIONS[source].ack_seconds):
                        self._under_way[source] += 1
                        self.world.spawn(self._deliver(delivery))
            try:
                await asyncio.wait_for(self._news.wait(), await self._until_next())
            except TimeoutError:
                continue

    async def _until_next(self) -> float:
        sql = "select min(not_before) from deliveries where dead_lettered = 0 and not_before > ?"
        now = SimulatedClock().now()
        row = await self.database.read(lambda connection: connection.execute(sql, (now,)).fetchone())
        return max(min((row[0] or float("inf")) - now, 600.0), 0.01)

    async def _deliver(self, delivery: Delivery) -> None:
        world = self.world
        name = f"{delivery.source} {delivery.id}"
        try:
            if world.chance("dropped", 0.1):
                world.fire("dropped", name)
                await self.deliveries.ack(delivery)
                return
            if world.chance("late", 0.2):
                world.fire("late", name)
                await asyncio.sleep(world.rng.uniform(1, 200))
            if world.chance("very_late", 0.05):
                world.fire("very_late", name)
                await asyncio.sleep(world.rng.uniform(600, 7200))
            if world.chance("duplicate", 0.3):
                world.fire("duplicate", name)
                for _ in range(world.rng.randint(1, 2)):
                    world.spawn(self._send(delivery, delay=world.rng.choice((0.0, 0.0, world.rng.uniform(0, 100)))))
            taken = await self._send(delivery)
            if taken and world.chance("redelivered", 0.2):
                world.fire("redelivered", name)
                taken = False
            await (self.deliveries.ack if taken else self.deliveries.nack)(delivery)
        finally:
            self._under_way[delivery.source] -= 1
            self.wake()

    async def _send(self, delivery: Delivery, delay: float = 0.0) -> bool:
        """POST it to a machine; whether that answered 2xx in time."""
        await asyncio.sleep(delay)
        machine, world = self.machine(), self.world
        if machine is None:
            return False
        function = SUBSCRIPTIONS[delivery.source].function
        headers, body = push_request(delivery)
        limit = LIMIT_SECONDS
        if world.chance("time_limit", 0.1):
            world.fire("time_limit", f"{function} on {machine.name}")
            limit = world.rng.uniform(0.1, 30)
        world.note(f"{delivery.source} {delivery.id} to {machine.name}")
        reply = await self.call(load_function(function), machine, "POST", "http://simulation/", headers, body, limit)
        return 200 <= reply.status < 300
