"""The invariants of a run: the checks of every committed change, and of the state at the end."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from promptforge.domain.chunk import Chunk
from promptforge.domain.job import TRANSITIONS, Status
from promptforge.engine.http_app import api_app
from promptforge.ports.documents import Create, Delete, Write
from tests.simulation.call_accounting import check_calls, check_log
from tests.simulation.instances import EPOCH, Instance, SimulatedClock, build_instance_context
from tests.simulation.results import check_results

if TYPE_CHECKING:
    from tests.simulation.jobs import SimulatedJob
    from tests.simulation.simulator import Simulator

CHUNK = re.compile(r"jobs/([^/]+)/chunks/(\d+)")
JOB = re.compile(r"jobs/([^/]+)")
COUNTS = ("completed", "failed", "tokens", "cost_nanos")
CONTENT = ("segments", "attempt_failures", "results", "errors", "open", *COUNTS)
CALL_NUMBER = re.compile(rb"answered by call (\d+)")


class InvariantChecker:
    """The current documents, and every object as it was created.

    It has a context of its own, without faults. `claims` holds who claimed a chunk in an epoch, and when.
    """

    def __init__(self, simulator: "Simulator") -> None:
        self.simulator = simulator
        self.context = build_instance_context(simulator, SimulatedClock())
        self.api = api_app(self.context, simulator.platform.wake)
        self.documents: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.claims: dict[tuple[str, int], tuple[str, float]] = {}
        self.repeated_calls = 0

    def expect(self, holds: object, claim: str) -> None:
        """Record a violation unless the claim holds."""
        self.simulator.expect(bool(holds), claim)

    # During the run

    def object_created(self, instance: Instance, bucket: str, name: str, content: bytes) -> None:
        """Record an object."""
        self.simulator.note(f"{instance.name} creates {bucket}/{name}, {len(content)} bytes")
        self.objects[f"{bucket}/{name}"] = content

    def committed(self, instance: Instance, writes: Sequence[Write]) -> None:
        """Check and record a commit that took effect."""
        for write in writes:
            new = {} if isinstance(write, Delete) else orjson.loads(orjson.dumps(write.data))
            old = self.documents.get(write.path)
            self.simulator.note(f"{instance.name} commits {write.path} {_summary(new)}")
            self.expect(isinstance(write, Create) == (old is None), f"{write.path} is created once")
            if isinstance(write, Delete) or "tombstone" in new:
                self._check_tombstone(write.path, new)
                continue
            self.expect("tombstone" not in (old or {}), f"no document replaces the tombstone {write.path}")
            if match := CHUNK.fullmatch(write.path):
                self._check_chunk(instance, match[1], write.path, old, new)
            elif JOB.fullmatch(write.path):
                self._check_job(write.path, old, new)
            elif write.path.startswith("clients/"):
                self.simulator.costs.quota_changed(write.path, new)
            self.documents[write.path] = new

    def _check_tombstone(self, path: str, new: dict[str, Any]) -> None:
        job_id = path.split("/")[1]
        jobs = [job for job in self.simulator.clients.jobs if job.job_id == job_id]
        self.expect(jobs and jobs[0].delete_sent_at <= self.simulator.now, f"{path} is erased after a delete only")
        self.expect(new or CHUNK.fullmatch(path), f"{path} stays as a tombstone, so that its id is not used again")
        if new and "tombstone" not in self.documents[path]:
            self.simulator.costs.job_erased(self.documents[path])
        self.documents[path] = new
        if not new:
            del self.documents[path]

    def _check_job(self, path: str, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        self.simulator.costs.job_changed(new)
        if old is None:
            return
        before, after = Status(old["status"]), Status(new["status"])
        self.expect(not before.final or old == new, f"{path} does not change after {before}")
        self.expect(before == after or after in TRANSITIONS[before], f"{path} goes from {before} to {after}")
        for name in ("input", "stop_reason", "chunk_count"):
            self.expect(old[name] in (None, new[name]), f"{path}: {name} is set once")
        if after.final:
            count = new["completed_count"] + new["failed_count"]
            self.expect(new["prompt_count"] == count, f"{path}: prompt_count = completed_count + failed_count")
            self.expect(new["open"] is False, f"{path} is not open")

    def _check_chunk(
        self, instance: Instance, job_id: str, path: str, old: dict[str, Any] | None, new: dict[str, Any]
    ) -> None:
        if old is None:
            self.expect((new["epoch"], new["open"], new["holder"]) == (0, True, None), f"{path} starts unclaimed")
            return
        self.expect(old["open"] or old == new, f"{path} does not change after it is complete")
        same = all(old[name] == new[name] for name in CONTENT)
        if new["epoch"] == old["epoch"] + 1:
            can_claim = Chunk.model_validate(old).can_claim(instance.clock.now())
            self.expect(can_claim and same and new["holder"], f"{path}: a claim only starts the lease of a free chunk")
            self.claims[path, new["epoch"]] = (instance.name, self.simulator.now)
        else:
            self.expect(new["epoch"] == old["epoch"], f"{path}: epoch {old['epoch']} does not become {new['epoch']}")
            claimer = self.claims.get((path, new["epoch"]), ("", 0.0))[0]
            self.expect(same or claimer == instance.name, f"{path}: only its holder {claimer} changes it")
            holders = (old["holder"], None) if old["holder"] else (None, *[new["holder"]] * (claimer == instance.name))
            self.expect(new["holder"] in holders, f"{path}: the holder changes with a claim only")
        self.simulator.costs.cost_added(job_id, new["cost_nanos"] - old["cost_nanos"])
        self._check_flushes(path, old, new)
        if old["open"] and not new["open"]:
            self._check_completion(instance, path, new)

    def _check_flushes(self, path: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        durable = not new["open"] or self._records(old) <= self._records(new)
        self.expect(durable, f"{path}: flushed answers stay")
        for segment in new["segments"]:
            if segment in old["segments"]:
                continue
            epoch = int(segment["name"].rpartition("/")[2].partition("-")[0])
            self.expect(epoch == new["epoch"], f"{path}: epoch {epoch} flushes in epoch {new['epoch']}")
        self.expect(all(new[name] >= old[name] for name in COUNTS), f"{path}: counts do not decrease")

    def _check_completion(self, instance: Instance, path: str, new: dict[str, Any]) -> None:
        self.expect(new["completed"] + new["failed"] == new["line_count"], f"{path}: every line has an answer")
        flushed = {record.split(b" ", 4)[4] for record in self._records(new)}
        _, claimed_at = self.claims[path, new["epoch"]]
        for kind, count in (("results", new["completed"]), ("errors", new["failed"])):
            part = new[kind]
            self.expect((part or {"lines": 0})["lines"] == count, f"{path}: the part says {count} {kind}")
            lines = self.objects[f"results/{part['name']}"].splitlines() if part else []
            self.expect(len(lines) == count, f"{path}: the part has {count} {kind}")
            for line in lines:
                if line not in flushed and (number := CALL_NUMBER.search(line)):
                    call = self.simulator.calls[int(number[1])]
                    own = call.instance == instance.name and call.started_at >= claimed_at
                    self.expect(own, f"{path}: the answer of call {call.number} belongs to an earlier holder")

    def _records(self, chunk: dict[str, Any]) -> set[bytes]:
        """Return every answer in the segments that a chunk names."""
        segments = [self.objects[f"work/{segment['name']}"] for segment in chunk["segments"]]
        return {record for segment in segments for record in segment.splitlines()}

    # At the end

    def check_end(self, jobs: "list[SimulatedJob]") -> None:
        """Check the results that the clients received, the calls and the log."""
        for job in jobs:
            if job.final:
                self._check_published(job)
                check_results(self.simulator, job)
        self.repeated_calls = check_calls(self.simulator, jobs)
        check_log(self.simulator)

    async def check_remaining_data(self, jobs: "list[SimulatedJob]") -> None:
        """Check the reservations, and that nothing of a deleted job remains, after all background work."""
        self.simulator.costs.check_reservations()
        for job in jobs:
            if job.deleted_at < float("inf"):
                remaining = await self.remaining_data(job.job_id)
                self.expect(not remaining, f"{job.job_id} was deleted, but {remaining} remains")

    async def remaining_data(self, job_id: str) -> list[str]:
        """Return every document and object of a job, except its tombstone."""
        remaining = [path for path, data in self.documents.items() if job_id in path and "tombstone" not in data]
        for bucket in (self.context.uploads, self.context.work, self.context.results):
            remaining += [name async for name in bucket.list(f"{job_id}/")]
        return remaining

    def _check_published(self, job: "SimulatedJob") -> None:
        """Check that the result files are the parts of the chunks in input order."""
        if job.files is None:
            return
        prefix = f"jobs/{job.job_id}/chunks/"
        chunks = [self.documents[path] for path in sorted(self.documents) if path.startswith(prefix)]
        for kind in ("results", "errors"):
            parts = [self.objects[f"results/{chunk[kind]['name']}"] for chunk in chunks if chunk[kind]]
            files = [job.files[name] for name in sorted(job.files) if name.startswith(kind)]
            self.expect(b"".join(files) == b"".join(parts), f"{job.job_id}: {kind} are the parts in input order")


def _summary(data: dict[str, Any]) -> str:
    names = ("status", "epoch", "holder", "open", "completed", "failed", "crash_count")
    shown = {name: data[name] for name in names if name in data}
    return f"{shown} due {data['due_at'] - EPOCH:.3f}" if "due_at" in data else str(shown)
