"""The referee: watches every change that takes effect, and judges the end. It sees everything and disturbs nothing."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from promptforge.domain.chunk import Chunk
from promptforge.domain.job import TRANSITIONS, Status
from promptforge.engine.http_app import api_app
from promptforge.ports.documents import Create, Delete, Write
from tests.simulation.call_accounting import check_accounts, check_calls, check_log
from tests.simulation.instances import EPOCH, Instance, SimulatedClock, build_instance_context

if TYPE_CHECKING:
    from tests.simulation.clients import Order
    from tests.simulation.simulator import Simulator

CHUNK = re.compile(r"jobs/([^/]+)/chunks/(\d+)")
JOB = re.compile(r"jobs/([^/]+)")
COUNTS = ("completed", "failed", "tokens", "cost_nanos")
CONTENT = ("segments", "attempt_failures", "results", "errors", "open", *COUNTS)
SERIAL = re.compile(rb"answered by call (\d+)")


class InvariantChecker:
    """Keeps what is true: every document as it stands, every object as it was written."""

    def __init__(self, world: "Simulator") -> None:
        self.world = world
        self.app = build_instance_context(world, SimulatedClock())
        self.front = api_app(self.app, world.platform.wake)
        self.documents: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.claims: dict[tuple[str, int], tuple[str, float]] = {}  # by chunk and epoch: who, and when
        self.paid_twice = 0

    def expect(self, holds: object, claim: str) -> None:
        """Something that must hold."""
        self.world.expect(bool(holds), claim)

    # While it runs

    def created(self, machine: Instance, bucket: str, name: str, content: bytes) -> None:
        """An object was written."""
        self.world.note(f"{machine.name} wrote {bucket}/{name}, {len(content)} bytes")
        self.objects[f"{bucket}/{name}"] = content

    def committed(self, machine: Instance, writes: Sequence[Write]) -> None:
        """A commit took effect."""
        for write in writes:
            new = {} if isinstance(write, Delete) else orjson.loads(orjson.dumps(write.data))
            old = self.documents.get(write.path)
            self.world.note(f"{machine.name} commits {write.path} {_summary(new)}")
            self.expect(isinstance(write, Create) == (old is None), f"{write.path} is created once")
            if isinstance(write, Delete) or "tombstone" in new:
                self._check_tombstone(write.path, new)
                continue
            self.expect("tombstone" not in (old or {}), f"{write.path} is erased for good")
            if match := CHUNK.fullmatch(write.path):
                self._chunk(machine, match[1], write.path, old, new)
            elif JOB.fullmatch(write.path):
                self._job(write.path, old, new)
            elif write.path.startswith("clients/"):
                self.world.money.promised(write.path, new)
            self.documents[write.path] = new

    def _check_tombstone(self, path: str, new: dict[str, Any]) -> None:
        job_id = path.split("/")[1]
        wished = [order for order in self.world.clients.orders if order.job_id == job_id]
        self.expect(wished and wished[0].unwanted_at <= self.world.now, f"{path} goes, and nobody wished it")
        self.expect(new or CHUNK.fullmatch(path), f"{path} keeps its id from being given again")
        if new and "tombstone" not in self.documents[path]:
            self.world.money.erased(self.documents[path])
        self.documents[path] = new
        if not new:
            del self.documents[path]

    def _job(self, path: str, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        self.world.money.changed(new)
        if old is None:
            return
        before, after = Status(old["status"]), Status(new["status"])
        self.expect(not before.final or old == new, f"{path} is {before} for good")
        self.expect(before == after or after in TRANSITIONS[before], f"{path} goes from {before} to {after}")
        for name in ("input", "stop_reason", "chunk_count"):
            self.expect(old[name] in (None, new[name]), f"{path}: {name} is set once")
        if after.final:
            done = new["completed_count"] + new["failed_count"]
            self.expect(new["prompt_count"] == done, f"{path}: prompt_count = completed_count + failed_count")
            self.expect(new["open"] is False, f"{path} is not open")

    def _chunk(
        self, machine: Instance, job_id: str, path: str, old: dict[str, Any] | None, new: dict[str, Any]
    ) -> None:
        if old is None:
            self.expect((new["epoch"], new["open"], new["holder"]) == (0, True, None), f"{path} begins untouched")
            return
        self.expect(old["open"] or old == new, f"{path} is settled for good")
        same = all(old[name] == new[name] for name in CONTENT)
        if new["epoch"] == old["epoch"] + 1:
            free = Chunk.model_validate(old).can_claim(machine.clock.now())
            self.expect(free and same and new["holder"], f"{path}: a claim takes a free chunk and changes nothing else")
            self.claims[path, new["epoch"]] = (machine.name, self.world.now)
        else:
            self.expect(new["epoch"] == old["epoch"], f"{path}: epoch {old['epoch']} does not become {new['epoch']}")
            claimer = self.claims.get((path, new["epoch"]), ("", 0.0))[0]
            self.expect(same or claimer == machine.name, f"{path}: only {claimer}, who claimed it, changes it")
            known = (old["holder"], None) if old["holder"] else (None, *[new["holder"]] * (claimer == machine.name))
            self.expect(new["holder"] in known, f"{path}: the holder changes with a claim only")
        self.world.money.paid(job_id, new["cost_nanos"] - old["cost_nanos"])
        self._flushes(path, old, new)
        if old["open"] and not new["open"]:
            self._check_completion(machine, job_id, path, new)

    def _flushes(self, path: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        kept = not new["open"] or self._records(old) <= self._records(new)
        self.expect(kept, f"{path}: what was flushed stays")
        for segment in new["segments"]:
            if segment in old["segments"]:
                continue
            epoch = int(segment["name"].rpartition("/")[2].partition("-")[0])
            self.expect(epoch == new["epoch"], f"{path}: epoch {epoch} flushes in epoch {new['epoch']}")
        self.expect(all(new[name] >= old[name] for name in COUNTS), f"{path}: counts do not fall")

    def _check_completion(self, machine: Instance, job_id: str, path: str, new: dict[str, Any]) -> None:
        self.expect(new["completed"] + new["failed"] == new["line_count"], f"{path}: every line has its answer")
        safe = {record.split(b" ", 4)[4] for record in self._records(new)}
        _, since = self.claims[path, new["epoch"]]
        for kind, count in (("results", new["completed"]), ("errors", new["failed"])):
            part = new[kind]
            self.expect((part or {"lines": 0})["lines"] == count, f"{path}: as many {kind} as it says")
            lines = self.objects[f"results/{part['name']}"].splitlines() if part else []
            self.expect(len(lines) == count, f"{path}: as many {kind} as it wrote")
            for line in lines:
                if line not in safe and (serial := SERIAL.search(line)):
                    call = self.world.calls[int(serial[1])]
                    own = call.machine == machine.name and call.began >= since
                    self.expect(own, f"{path}: an answer of call {call.serial}, of a fenced holder, is published")

    def _records(self, chunk: dict[str, Any]) -> set[bytes]:
        """Every answer in the segments that a chunk names."""
        segments = [self.objects[f"work/{segment['name']}"] for segment in chunk["segments"]]
        return {record for segment in segments for record in segment.splitlines()}

    # At the end

    def at_the_end(self, orders: "list[Order]") -> None:
        """Judge what the clients got, what was called, what was said in the log."""
        for order in orders:
            if order.final:
                self._published(order)
                check_accounts(self.world, order)
        self.paid_twice = check_calls(self.world, orders)
        check_log(self.world)

    async def afterwards(self, orders: "list[Order]") -> None:
        """Judge what is there when everything has come to rest."""
        self.world.money.check_rest()
        for order in orders:
            if order.deleted_at < float("inf"):
                left = await self.left_of(order.job_id)
                self.expect(not left, f"{order.job_id} was deleted, and there is still {left}")

    async def left_of(self, job_id: str) -> list[str]:
        """Every document and object of a job but for the erasure in its place."""
        left = [path for path, data in self.documents.items() if job_id in path and "tombstone" not in data]
        for bucket in (self.app.uploads, self.app.work, self.app.results):
            left += [name async for name in bucket.list(f"{job_id}/")]
        return left

    def _published(self, order: "Order") -> None:
        """The files are the chunks' parts in input order, and nothing else."""
        if order.files is None:
            return
        prefix = f"jobs/{order.job_id}/chunks/"
        chunks = [self.documents[path] for path in sorted(self.documents) if path.startswith(prefix)]
        for kind in ("results", "errors"):
            parts = [self.objects[f"results/{chunk[kind]['name']}"] for chunk in chunks if chunk[kind]]
            files = [order.files[name] for name in sorted(order.files) if name.startswith(kind)]
            self.expect(b"".join(files) == b"".join(parts), f"{order.job_id}: {kind} are the chunks' parts in order")


def _summary(data: dict[str, Any]) -> str:
    names = ("status", "epoch", "holder", "open", "completed", "failed", "crash_count")
    shown = {name: data[name] for name in names if name in data}
    return f"{shown} due {data['due_at'] - EPOCH:.3f}" if "due_at" in data else str(shown)
