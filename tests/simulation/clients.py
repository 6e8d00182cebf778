"""Clients: what they order, what they may get for it, and how they go about it over HTTP, patiently."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from tests.simulation.cost_accounting import CALL_USD
from tests.simulation.faults import Plan
from tests.simulation.http import Reply, request

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

CANARY = "CANARY"
FINAL = ("COMPLETED", "FAILED", "CANCELLED")
MAX_WAIT_SECONDS = 30.0
LATE_SECONDS = 3600.0  # nothing that was begun before a delete goes on for so long


@dataclass(frozen=True)
class Line:
    """A line of the input. `kind` is what becomes of it: a prompt's nature, or the code of a bad line."""

    number: int
    kind: str
    content: bytes
    prompt_id: str | None = None
    prompt: str = ""


@dataclass
class Order:
    """A job as its client wants it, and what became of it."""

    number: int
    client: str
    lines: list[Line]
    max_retries: int
    max_cost_usd: float | None = None
    job_id: str = ""
    cancelled_at: float = float("inf")
    unwanted_at: float = float("inf")  # when its client began to ask for it to be deleted
    deleted_at: float = float("inf")  # when that was answered
    final: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] | None = None

    @property
    def content(self) -> bytes:
        """The file."""
        return b"\n".join(line.content for line in self.lines)


def order(rng: random.Random, number: int, plan: Plan) -> Order:
    """A job of a few lines of every kind."""
    kinds = ["prompt"] * 12 + ["refusal", "invalid_json", "missing_prompt", "line_too_long", "duplicate", "blank"]
    kinds += [kind for kind in ("poison", "hopeless") if kind in plan.faults]
    size = rng.choice((1, 3, 10, 20, 40))
    lines: list[Line] = []
    for at in range(1, size + 1):
        lines.append(_line(rng, number, at, rng.choice(kinds), lines))
    calls = rng.choice((None, 1, 3, 5, 10)) if "cost_limit" in plan.faults else None
    client, max_retries = rng.choice(("alice", "bob")), rng.choice((0, 1, 3, 10))
    return Order(number, client, lines, max_retries, None if calls is None else calls * CALL_USD)


def _line(rng: random.Random, job: int, number: int, kind: str, before: list[Line]) -> Line:
    prompt_id, prompt = f"id-{number}", f"{CANARY} job {job} line {number} {kind} please"
    good = orjson.dumps({"prompt_id": prompt_id, "prompt": prompt})
    taken = [line.prompt_id for line in before if line.prompt]
    match kind:
        case "blank":
            return Line(number, "blank", rng.choice((b"", b"  ", b"\r")))
        case "invalid_json":
            return Line(number, kind, b'{"prompt_id": "x", ' + CANARY.encode())
        case "missing_prompt":
            return Line(number, kind, orjson.dumps({"prompt_id": prompt_id}), prompt_id)
        case "line_too_long":
            return Line(number, kind, good[:-2] + b"." * 300 + b'"}')
        case "duplicate" if taken:
            again = rng.choice(taken)
            return Line(number, "duplicate_prompt_id", orjson.dumps({"prompt_id": again, "prompt": prompt}), again)
        case "duplicate":
            return Line(number, "prompt", good, prompt_id, prompt)
    return Line(number, kind, good, prompt_id, prompt)


class Clients:
    """Every client, each with a key; who is not answered asks again."""

    def __init__(self, world: "Simulator") -> None:
        self.world = world
        self.orders = [order(world.rng, number, world.plan) for number in range(world.rng.choice((1, 1, 2)))]
        self.keys = {"alice": "alice's key " + CANARY, "bob": "bob's key " + CANARY}

    async def run(self) -> None:
        """Carry every order through to its end."""
        for client, key in self.keys.items():
            await self.world.referee.app.api_keys.admit(client, key)
            calls = self.world.rng.choice((None, 1, 5, 10, 30))
            if calls and "cost_limit" in self.world.plan.faults:
                self.world.fire("cost_limit", client)
                await self.world.money.limit(client, calls)
        await asyncio.gather(*[self._carry_through(order) for order in self.orders])

    async def _carry_through(self, order: Order) -> None:
        world = self.world
        await asyncio.sleep(world.rng.uniform(0, 30))
        ticket = await self._open(order)
        order.job_id = ticket["job_id"]
        if world.chance("never_uploaded", 1.0):
            world.fire("never_uploaded", order.job_id)
        else:
            await self._upload(order, ticket["upload_url"])
        if world.chance("cancelled", 1.0):
            world.spawn(self._cancel(order, world.rng.choice((0.0, 1.0, 10.0, 60.0)) * world.rng.random()))
        if world.chance("input_deleted", 1.0):
            world.spawn(self._delete_input(order))
        if world.chance("deleted", 1.0):
            await self._delete(order, world.rng.choice((0.0, 1.0, 10.0, 60.0, 600.0)) * world.rng.random())
        else:
            await self._poll(order)
            await self._download(order)

    async def _open(self, order: Order) -> Any:
        if order.max_cost_usd:
            self.world.fire("cost_limit", f"order {order.number}")
        copies = 1
        if self.world.chance("init_repeated", 1.0):
            self.world.fire("init_repeated", order.client)
            copies = 3
        tickets = [reply.json for reply in await asyncio.gather(*[self._init(order) for _ in range(copies)])]
        self.world.expect(len({ticket["job_id"] for ticket in tickets}) == 1, "one order, one job")
        return tickets[0]

    async def _init(self, order: Order, good: tuple[int, ...] = (202,)) -> Reply:
        body: dict[str, Any] = {"provider": "echo", "model": "m", "max_retries": order.max_retries}
        if order.max_cost_usd:
            body["max_cost_usd"] = order.max_cost_usd
        headers = {"Idempotency-Key": f"order-{order.number}"}
        return await self.ask(order.client, "POST", "/v1/jobs/init", headers, body, good)

    async def _upload(self, order: Order, url: str) -> None:
        world = self.world
        await asyncio.sleep(world.rng.uniform(0, 20))
        headers = {"Content-Type": "application/octet-stream"}
        first = await request(world.referee.front, "PUT", url, headers, order.content)
        world.expect(first.status == 200, f"the upload is taken, not {first.status}")
        world.platform.wake()
        if world.chance("uploaded_twice", 1.0):
            world.fire("uploaded_twice", order.job_id)
            again = await request(world.referee.front, "PUT", url, headers, b'{"prompt_id":"a","prompt":"b"}')
            world.expect(again.status == 403, f"a second upload is refused, not {again.status}")

    async def _cancel(self, order: Order, after: float) -> None:
        world = self.world
        await asyncio.sleep(after)
        world.fire("cancelled", order.job_id)
        for _ in range(world.rng.choice((1, 2))):
            reply = await self.ask(order.client, "POST", f"/v1/jobs/{order.job_id}/cancel", good=(200, 404, 409))
            if reply.status == 200:
                order.cancelled_at = min(order.cancelled_at, world.now)
            elif reply.status == 404:
                world.expect(order.unwanted_at <= world.now, f"cancel does not find {order.job_id}")
            else:
                world.expect(reply.json["code"] == "already_ended", f"cancel says {reply.body!r}")

    async def _delete_input(self, order: Order) -> None:
        world = self.world
        await asyncio.sleep(world.rng.uniform(0, 60))
        world.fire("input_deleted", order.job_id)
        await world.referee.app.uploads.delete(f"{order.job_id}/input.jsonl")

    async def _delete(self, order: Order, after: float) -> None:
        """A try whose answer was lost may have been heard: the next one then finds no job."""
        world, path = self.world, f"/v1/jobs/{order.job_id}"
        await asyncio.sleep(after)
        world.fire("deleted", order.job_id)
        order.unwanted_at = world.now
        for _ in range(world.rng.choice((1, 2))):
            await self.ask(order.client, "DELETE", path, good=(204, 404))
            order.deleted_at = min(order.deleted_at, world.now)
        for method, verb in (("GET", "status"), ("GET", "results"), ("POST", "cancel")):
            await self.ask(order.client, method, f"{path}/{verb}", good=(404,))
        await self._open_again(order)
        await asyncio.sleep(LATE_SECONDS)
        while await world.referee.left_of(order.job_id):
            await asyncio.sleep(60)
        await self._open_again(order)

    async def _open_again(self, order: Order) -> None:
        """The Idempotency-Key of a job that was deleted leads neither to that job nor to another under its id."""
        reply = await self._init(order, good=(409,))
        self.world.expect(reply.json["code"] == "job_deleted", f"its order again: {reply.body!r}")

    async def _poll(self, order: Order) -> None:
        pause, path, seen = 1.0, f"/v1/jobs/{order.job_id}/status", ["AWAITING_UPLOAD"]
        stranger = "bob" if order.client == "alice" else "alice"
        while seen[-1] not in FINAL:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 120.0)
            order.final = (await self.ask(order.client, "GET", path)).json
            if order.final["status"] != seen[-1]:
                seen.append(order.final["status"])
        unknown = (
            await self.ask(stranger, "GET", "/v1/jobs/00000000-0000-4000-8000-000000000000/status", good=(404,))
        ).body
        foreign = (await self.ask(stranger, "GET", path, good=(404,))).body
        self.world.expect(foreign == unknown, "another client's job is as unknown as any")

    async def _download(self, order: Order) -> None:
        reply = await self.ask(order.client, "GET", f"/v1/jobs/{order.job_id}/results", good=(200, 409))
        if reply.status == 200:
            listed = [*reply.json["files"], reply.json["manifest"]]
            order.files = {file["filename"]: await self._content(file["url"]) for file in listed}

    async def _content(self, url: str) -> bytes:
        """What a signed URL leads to."""
        name = urlsplit(url).path.removeprefix("/storage/results/")
        return b"".join([block async for block in self.world.referee.app.results.read(name)])

    async def ask(
        self,
        client: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        good: tuple[int, ...] = (200, 202),
    ) -> Reply:
        """A call to the API, again and again until a machine answers it."""
        world, reply = self.world, Reply()

        async def once() -> None:
            machine = world.platform.machine()
            if machine is None:
                return
            nonlocal reply
            all_headers = {"X-API-Key": self.keys[client], **(headers or {})}
            content, url = orjson.dumps(body) if body else b"", f"http://simulation{path}"
            reply = await world.platform.call(
                machine.front, machine, method, url, all_headers, content, MAX_WAIT_SECONDS
            )

        while True:
            await once()
            if reply.status in good:
                return reply
            if reply.status == 429 and reply.json["code"] == "spend_limit":
                await asyncio.sleep(int(reply.headers["retry-after"]))
                continue
            world.expect(reply.status in (0, 503), f"{method} {path} answers {reply.status} {reply.body!r}")
            await asyncio.sleep(world.rng.uniform(0.5, 5))
