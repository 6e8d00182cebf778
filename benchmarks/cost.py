"""What a job costs on Google Cloud besides the provider: operations counted over Google's emulators, at list prices.

    python -m benchmarks.cost [--prompts 10000] [--waiting 2000] [--latency 3]

It runs two jobs with `echo`: one whose answers come at once, and one where each takes `--latency` seconds, as a
model's would. It needs what `make test-cloud` needs, and ends with exit code 1 if a figure is above its goal.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from benchmarks.metered import Usage, metered
from benchmarks.prices import ASSUMED, LEFT_OUT, PRICED, Item, bill
from promptforge.client.async_client import AsyncClient
from tests.support.emulators import Firestore, Pubsub
from tests.support.front import behind
from tests.support.machine import prompts
from tests.support.stage import CloudStack, cloud_stack

POLL_SECONDS = 1.0  # as `promptforge run` does
JOB_SECONDS = 1200.0
API = ("init", "status", "results", "cancel")
CHUNK_LINES = "100"
GOAL_DOLLARS = 3.0
GOALS = {"document_write": 6, "document_read": 6, "class_a": 5}
"""How many a chunk may cost the functions that do the work, flushes left out. A chunk that waits for its answers may
cost more reads: every 2 seconds its worker looks whether the job was cancelled."""

PER_FLUSH = {"document_write": 1, "class_a": 1}


@dataclass(frozen=True)
class Run:
    """A job that went to its end: what its work used, and what its client's requests to the API did."""

    prompts: int
    latency: float
    chunks: int
    flushes: int
    files: int
    seconds: float
    work: Usage
    api: Usage

    @property
    def bill(self) -> list[Item]:
        """For a million prompts in such jobs."""
        items = bill(self.work + self.api, self.prompts, jobs=1, downloads=self.files)
        return [replace(item, number=item.number * 1_000_000 / self.prompts) for item in items]

    @property
    def dollars(self) -> float:
        """What it comes to."""
        return sum(item.dollars for item in self.bill)

    @property
    def goals(self) -> dict[str, int]:
        """What is asked of this run."""
        return {} if self.latency else GOALS

    def per_chunk(self, operation: str) -> float:
        """How many of an operation the work made for a chunk, flushes left out."""
        flushes = PER_FLUSH.get(operation, 0) * self.flushes
        return (self.work.operations[operation] - flushes) / self.chunks


async def measure(folder: Path, firestore: Firestore, pubsub: Pubsub, count: int, latency: float) -> Run:
    """Run one job, after a small one that warms everything up. The sweeper stands still: what it does, it does by the
    clock."""
    folder.mkdir()
    environ = {"PROMPTFORGE_CHUNK_LINES": CHUNK_LINES, "PROMPTFORGE_ECHO_LATENCY_SECONDS": str(latency)}
    async with (
        cloud_stack(folder, firestore, pubsub, environ, processes=False) as one,
        metered(one.variables, folder / "work.err") as work,
        metered(one.variables, folder / "api.err") as api,
    ):
        addresses = behind(work.url) | {name: behind(api.url)[name] for name in API}
        one.front.functions = {name: url for name, url in addresses.items() if name != "sweeper"}
        await _job(one, folder / "warm.jsonl", 3)
        before = await work.usage(), await api.usage()
        seconds, job_id, files = await _job(one, folder / "prompts.jsonl", count)
        after = await work.usage(), await api.usage()
        chunks = [chunk async for chunk in one.app.ledger.list_all(job_id)]
    flushes = sum(len(chunk.segments) for chunk in chunks)
    used = [now - then for now, then in zip(after, before, strict=True)]
    return Run(count, latency, len(chunks), flushes, files, seconds, *used)


async def _job(one: CloudStack, file: Path, count: int) -> tuple[float, str, int]:
    """A job from its order to its downloads: how long it took, its id, and how many files it has."""
    file.write_bytes(prompts(count))
    loop = asyncio.get_running_loop()
    async with AsyncClient(one.url, one.key) as client, asyncio.timeout(JOB_SECONDS):
        job = await client.init("echo", "echo-1")
        await client.upload(job["upload_url"], file)
        began = loop.time()
        while (status := await client.status(job["job_id"]))["status"] not in ("COMPLETED", "FAILED"):
            await asyncio.sleep(POLL_SECONDS)
        seconds = loop.time() - began
        found = await client.results(job["job_id"])
    if (status["status"], status["completed_count"]) != ("COMPLETED", count):
        raise SystemExit(f"the job went wrong: {status}")
    return seconds, job["job_id"], len(found["files"]) + 1


def lines(run: Run) -> Iterator[str]:
    """A run's figures."""
    flushes = run.flushes / run.chunks
    yield f"answers after {run.latency:g} s: {run.prompts:,} prompts in {run.chunks} chunks, {run.seconds:.0f} s"
    yield f"flushes {flushes:.1f} a chunk, left out of what a chunk costs"
    cpu = (run.work.cpu_seconds + run.api.cpu_seconds) / run.prompts
    yield f"CPU {cpu * 1000:.2f} ms a prompt in all functions"
    yield f"  {'operation':<20}{'work':>10}{'a chunk':>10}{'goal':>6}{'API':>10}"
    for name in sorted(run.work.operations | run.api.operations):
        goal = run.goals.get(name, "")
        work, api = run.work.operations[name], run.api.operations[name]
        yield f"  {name:<20}{work:>10,}{run.per_chunk(name):>10.2f}{goal:>6}{api:>10,}"
    yield f"  {'a million prompts':<20}{'number':>20}{'dollars':>16}"
    for item in run.bill:
        yield f"  {item.what:<20}{item.number:>20,.0f}{item.dollars:>16.3f}"
    yield f"  {'in all':<20}{'':>20}{run.dollars:>16.2f}"


def above_goals(run: Run) -> Iterator[str]:
    """The figures that are too high."""
    for name, goal in run.goals.items():
        if run.per_chunk(name) > goal:
            yield f"{name}: {run.per_chunk(name):.2f} a chunk, goal {goal}"
    if run.dollars > GOAL_DOLLARS:
        yield f"${run.dollars:.2f} for a million prompts, goal ${GOAL_DOLLARS:.2f}"


async def main(asked: argparse.Namespace, folder: Path) -> int:
    firestore, pubsub = Firestore(), Pubsub()
    high: list[str] = []
    try:
        firestore.start()
        pubsub.start()
        for count, latency in ((asked.prompts, 0.0), (asked.waiting, asked.latency)):
            run = await measure(folder / str(latency), firestore, pubsub, count, latency)
            print("\n".join(lines(run)) + "\n", flush=True)
            high += above_goals(run)
    finally:
        pubsub.kill()
        firestore.kill()
    print(f"prices: {PRICED}\nassumed: {ASSUMED}\nleft out: {LEFT_OUT}")
    print("\n".join(f"above its goal: {figure}" for figure in high) or "every figure is within its goal")
    return bool(high)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=10_000, help="with answers at once")
    parser.add_argument("--waiting", type=int, default=2000, help="with answers that take --latency seconds")
    parser.add_argument("--latency", type=float, default=3.0)
    return parser.parse_args()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        try:
            sys.exit(asyncio.run(main(_arguments(), Path(scratch))))
        except pytest.skip.Exception as lacking:
            sys.exit(str(lacking))
