"""The platform: it delivers messages at least once, with the faults of the plan, and replaces crashed instances."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from promptforge.adapters.local.database import Database
from promptforge.adapters.local.queue import Delivery, SqliteQueue
from promptforge.domain.commands import SweepJobs
from promptforge.engine.load_functions import load_function
from promptforge.engine.push_requests import SUBSCRIPTIONS, push_request
from promptforge.pipeline.sweep import expire_leases
from tests.simulation.http import Response, send_request
from tests.simulation.instances import Instance, SimulatedClock

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tests.simulation.simulator import Simulator

SWEEP_SECONDS = 60.0
CONCURRENT_DELIVERIES = 4  # of one source, per instance
TIME_LIMIT_SECONDS = 540.0


class Platform:
    """The queue, the timer of the sweep, and the supervision of the instances."""

    def __init__(self, simulator: "Simulator") -> None:
        self.simulator = simulator
        self.database = Database(simulator.folder / "state.db")
        self.queue = SqliteQueue(self.database, SimulatedClock())
        self.instances: list[Instance] = []
        self._started_count = 0
        self._changed = asyncio.Event()
        self._in_flight = dict.fromkeys(SUBSCRIPTIONS, 0)

    def wake(self) -> None:
        """Look for due messages now."""
        self._changed.set()

    def start(self) -> None:
        """Start the instances, the deliveries and the timer."""
        for _ in range(self.simulator.rng.choice((1, 2, 3))):
            self.simulator.spawn(self._supervise())
        self.simulator.spawn(self._deliver_all())
        self.simulator.spawn(self._sweep())

    def pick_instance(self) -> Instance | None:
        """Return a random instance that accepts requests."""
        ready = [instance for instance in self.instances if instance.alive and not instance.stopping]
        return self.simulator.rng.choice(ready) if ready else None

    async def call(
        self,
        app: "ASGIApp",
        instance: Instance,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        time_limit: float,
    ) -> Response:
        """Send a request to an instance.

        The status is 0 if the instance crashes or exceeds the time limit.
        """
        loop = asyncio.get_running_loop()
        request = loop.create_task(send_request(app, method, url, headers, body), context=instance.variables.copy())
        self.simulator.tasks.append(request)
        crash = self.simulator.spawn(instance.crashed.wait())
        await asyncio.wait([request, crash], timeout=time_limit, return_when=asyncio.FIRST_COMPLETED)
        crash.cancel()
        return request.result() if request.done() and not request.cancelled() and instance.alive else Response()

    async def _supervise(self) -> None:
        """Run an instance, and start the next one after a crash."""
        simulator = self.simulator
        while True:
            instance = Instance(simulator, self._started_count)
            self._started_count += 1
            self.instances.append(instance)
            simulator.note(f"{instance.name} starts")
            await self._inject_faults(instance)
            await asyncio.sleep(simulator.rng.uniform(0.1, 20))
            if simulator.detects_crashes:
                simulator.spawn(self._expire_leases(instance))

    async def _inject_faults(self, instance: Instance) -> None:
        """Stall and terminate an instance at random times.

        Returns after its crash.
        """
        simulator = self.simulator
        while instance.alive:
            try:
                await asyncio.wait_for(instance.crashed.wait(), simulator.rng.expovariate(1 / 60))
            except TimeoutError:
                if simulator.draws("stall", 0.3):
                    instance.stall("any point")
                elif simulator.draws("sigterm", 0.3):
                    simulator.record_fault("sigterm", instance.name)
                    await instance.terminate()

    async def _expire_leases(self, crashed: Instance) -> None:
        """Expire the leases of a crashed instance, as the engine does when a worker process exits."""
        while True:
            instance = self.pick_instance()
            if instance is None:
                await asyncio.sleep(1)
                continue
            work = asyncio.get_running_loop().create_task(expire_leases(instance.context, crashed.name))
            crash = self.simulator.spawn(instance.crashed.wait())
            self.simulator.tasks.append(work)
            await asyncio.wait([work, crash], return_when=asyncio.FIRST_COMPLETED)
            crash.cancel()
            if work.done() and not work.exception():
                return
            await asyncio.sleep(1)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            task = Delivery(0, "queue:sweeper", SweepJobs().encode(), 1)
            self.simulator.spawn(self._send(task))

    async def _deliver_all(self) -> None:
        while True:
            self._changed.clear()
            for source in await self.queue.sources_due(list(SUBSCRIPTIONS)):
                free = CONCURRENT_DELIVERIES * len(self.instances) - self._in_flight[source]
                if free > 0:
                    for delivery in await self.queue.claim(source, free, SUBSCRIPTIONS[source].ack_seconds):
                        self._in_flight[source] += 1
                        self.simulator.spawn(self._deliver(delivery))
            try:
                await asyncio.wait_for(self._changed.wait(), await self._seconds_until_due())
            except TimeoutError:
                continue

    async def _seconds_until_due(self) -> float:
        sql = "select min(not_before) from deliveries where dead_lettered = 0 and not_before > ?"
        now = SimulatedClock().now()
        row = await self.database.read(lambda connection: connection.execute(sql, (now,)).fetchone())
        return max(min((row[0] or float("inf")) - now, 600.0), 0.01)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self._deliver_with_faults(delivery)
        finally:
            self._in_flight[delivery.source] -= 1
            self.wake()

    async def _deliver_with_faults(self, delivery: Delivery) -> None:
        simulator, rng = self.simulator, self.simulator.rng
        name = f"{delivery.source} {delivery.id}"
        if simulator.draws("dropped", 0.1):
            simulator.record_fault("dropped", name)
            await self.queue.ack(delivery)
            return
        if simulator.draws("late", 0.2):
            simulator.record_fault("late", name)
            await asyncio.sleep(rng.uniform(1, 200))
        if simulator.draws("very_late", 0.05):
            simulator.record_fault("very_late", name)
            await asyncio.sleep(rng.uniform(600, 7200))
        if simulator.draws("duplicate", 0.3):
            simulator.record_fault("duplicate", name)
            for _ in range(rng.randint(1, 2)):
                simulator.spawn(self._send(delivery, delay=rng.choice((0.0, 0.0, rng.uniform(0, 100)))))
        accepted = await self._send(delivery)
        if accepted and simulator.draws("redelivered", 0.2):
            simulator.record_fault("redelivered", name)
            accepted = False
        await (self.queue.ack if accepted else self.queue.nack)(delivery)

    async def _send(self, delivery: Delivery, delay: float = 0.0) -> bool:
        """POST a message to an instance.

        Return whether it responded with 2xx within the time limit.
        """
        await asyncio.sleep(delay)
        instance, simulator = self.pick_instance(), self.simulator
        if instance is None:
            return False
        function = SUBSCRIPTIONS[delivery.source].function
        headers, body = push_request(delivery)
        time_limit = TIME_LIMIT_SECONDS
        if simulator.draws("time_limit", 0.1):
            simulator.record_fault("time_limit", f"{function} on {instance.name}")
            time_limit = simulator.rng.uniform(0.1, 30)
        simulator.note(f"{delivery.source} {delivery.id} to {instance.name}")
        app = load_function(function)
        response = await self.call(app, instance, "POST", "http://simulation/", headers, body, time_limit)
        return 200 <= response.status < 300
