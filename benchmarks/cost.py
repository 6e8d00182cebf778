"""Measure the infrastructure cost of a job on Google Cloud: operations counted on the emulators, at list prices.

    python -m benchmarks.cost [--prompts 10000] [--waiting 2000] [--latency 3]

Two jobs run with `echo`: one with immediate answers, and one whose answers take `--latency` seconds, like a model.
The requirements are those of `make test-cloud`. The exit code is 1 if a figure is above its goal.
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
from benchmarks.prices import ASSUMED, NOT_INCLUDED, PRICED, Item, bill
from tests.fakes.reverse_proxy import function_urls
from tests.harness.cloud_stack import CloudStack, cloud_stack
from tests.harness.emulators import Firestore, Pubsub
from tests.harness.lines import prompts

from promptforge.client import AsyncClient

POLL_SECONDS = 1.0  # as `promptforge run` does
JOB_SECONDS = 1200.0
API = ("init", "status", "results", "cancel")
CHUNK_LINES = "100"
GOAL_DOLLARS = 3.0
GOALS = {"document_write": 6, "document_read": 6, "class_a": 5}
"""The operations that a chunk may cost outside the API, without flushes.

A chunk that waits for answers may cost more reads: its worker polls every 2 seconds for a cancelled job.
"""

PER_FLUSH = {"document_write": 1, "class_a": 1}


@dataclass(frozen=True)
class Run:
    """A finished job, the usage of its processing, and the usage of its client's requests to the API."""

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
        """The bill for a million prompts in such jobs."""
        items = bill(self.work + self.api, self.prompts, jobs=1, downloads=self.files)
        return [replace(item, number=item.number * 1_000_000 / self.prompts) for item in items]

    @property
    def dollars(self) -> float:
        """The total of the bill."""
        return sum(item.dollars for item in self.bill)

    @property
    def goals(self) -> dict[str, int]:
        """The goals for this run."""
        return {} if self.latency else GOALS

    def per_chunk(self, operation: str) -> float:
        """Return how often a chunk caused an operation, without flushes."""
        flushes = PER_FLUSH.get(operation, 0) * self.flushes
        return (self.work.operations[operation] - flushes) / self.chunks


async def measure(folder: Path, firestore: Firestore, pubsub: Pubsub, count: int, latency: float) -> Run:
    """Run one job after a small one that opens all connections.

    The sweeper gets no request, because its operations depend on the time and not on the job.
    """
    folder.mkdir()
    environ = {"PROMPTFORGE_CHUNK_LINES": CHUNK_LINES, "PROMPTFORGE_ECHO_LATENCY_SECONDS": str(latency)}
    async with (
        cloud_stack(folder, firestore, pubsub, environ, processes=False) as one,
        metered(one.variables, folder / "work.err") as work,
        metered(one.variables, folder / "api.err") as api,
    ):
        addresses = function_urls(work.url) | {name: function_urls(api.url)[name] for name in API}
        one.proxy.functions = {name: url for name, url in addresses.items() if name != "sweeper"}
        await _job(one, folder / "warm.jsonl", 3)
        before = await work.usage(), await api.usage()
        seconds, job_id, files = await _job(one, folder / "prompts.jsonl", count)
        after = await work.usage(), await api.usage()
        chunks = [chunk async for chunk in one.context.chunks.list_all(job_id)]
    flushes = sum(len(chunk.segments) for chunk in chunks)
    usages = [end - start for end, start in zip(after, before, strict=True)]
    return Run(count, latency, len(chunks), flushes, files, seconds, *usages)


async def _job(one: CloudStack, file: Path, count: int) -> tuple[float, str, int]:
    """Run a job, and return its duration, its id and its number of files."""
    file.write_bytes(prompts(count))
    loop = asyncio.get_running_loop()
    async with AsyncClient(one.url, one.key) as client, asyncio.timeout(JOB_SECONDS):
        job = await client.init("echo", "echo-1")
        await client.upload(job["upload_url"], file)
        started_at = loop.time()
        while (status := await client.status(job["job_id"]))["status"] not in ("COMPLETED", "FAILED"):
            await asyncio.sleep(POLL_SECONDS)
        seconds = loop.time() - started_at
        results = await client.results(job["job_id"])
    if (status["status"], status["completed_count"]) != ("COMPLETED", count):
        raise SystemExit(f"The job failed: {status}")
    return seconds, job["job_id"], len(results["files"]) + 1


def lines(run: Run) -> Iterator[str]:
    """Yield the figures of a run."""
    flushes = run.flushes / run.chunks
    yield f"answers after {run.latency:g} s: {run.prompts:,} prompts in {run.chunks} chunks, {run.seconds:.0f} s"
    yield f"flushes {flushes:.1f} a chunk, not included in the figures per chunk"
    cpu = (run.work.cpu_seconds + run.api.cpu_seconds) / run.prompts
    yield f"CPU {cpu * 1000:.2f} ms a prompt in all functions"
    yield f"  {'operation':<20}{'work':>10}{'a chunk':>10}{'goal':>6}{'API':>10}"
    for name in sorted(run.work.operations | run.api.operations):
        goal = run.goals.get(name, "")
        work, api = run.work.operations[name], run.api.operations[name]
        yield f"  {name:<20}{work:>10,}{run.per_chunk(name):>10.2f}{goal:>6}{api:>10,}"
    yield f"  {'a million prompts':<20}{'number':>20}{'dollars':>16}"
    for item in run.bill:
        yield f"  {item.name:<20}{item.number:>20,.0f}{item.dollars:>16.3f}"
    yield f"  {'total':<20}{'':>20}{run.dollars:>16.2f}"


def above_goals(run: Run) -> Iterator[str]:
    """Yield the figures that are above their goals."""
    for name, goal in run.goals.items():
        if run.per_chunk(name) > goal:
            yield f"{name}: {run.per_chunk(name):.2f} a chunk, goal {goal}"
    if run.dollars > GOAL_DOLLARS:
        yield f"${run.dollars:.2f} for a million prompts, goal ${GOAL_DOLLARS:.2f}"


async def main(options: argparse.Namespace, folder: Path) -> int:
    firestore, pubsub = Firestore(), Pubsub()
    above: list[str] = []
    try:
        firestore.start()
        pubsub.start()
        for count, latency in ((options.prompts, 0.0), (options.waiting, options.latency)):
            run = await measure(folder / str(latency), firestore, pubsub, count, latency)
            print("\n".join(lines(run)) + "\n", flush=True)
            above += above_goals(run)
    finally:
        pubsub.kill()
        firestore.kill()
    print(f"prices: {PRICED}\nassumed: {ASSUMED}\nnot included: {NOT_INCLUDED}")
    print("\n".join(f"above its goal: {figure}" for figure in above) or "every figure is within its goal")
    return bool(above)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=10_000, help="prompts with immediate answers")
    parser.add_argument("--waiting", type=int, default=2000, help="prompts with answers that take --latency seconds")
    parser.add_argument("--latency", type=float, default=3.0)
    return parser.parse_args()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        try:
            sys.exit(asyncio.run(main(_arguments(), Path(scratch))))
        except pytest.skip.Exception as missing:
            sys.exit(str(missing))
