"""Run files through the whole product, many at a time, and record the outcomes that a client sees."""

import asyncio
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import Line

PROCESSES = 2


@dataclass(frozen=True)
class Outcome:
    """The outcome of a finished job as a client sees it; `files` is None if there is no file to download."""

    status: Line
    files: dict[str, bytes] | None


def run_all(folder: Path, contents: Mapping[str, bytes]) -> dict[str, Outcome]:
    """Return the outcome of every file by its name.

    Each process has one stack, on which the jobs must not affect each other.
    """
    names = list(contents)
    shares = [{name: contents[name] for name in names[number::PROCESSES]} for number in range(PROCESSES)]
    folders = [folder / str(number) for number in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        return {name: outcome for done in pool.map(_run_share, folders, shares) for name, outcome in done.items()}


def _run_share(folder: Path, contents: Mapping[str, bytes]) -> dict[str, Outcome]:
    return asyncio.run(_run_on_one(folder, contents))


async def _run_on_one(folder: Path, contents: Mapping[str, bytes]) -> dict[str, Outcome]:
    async with in_process_stack(folder, max_active_jobs=len(contents), requests_per_second=1e6) as one:
        job_ids = {name: await one.submit(content) for name, content in contents.items()}
        return {name: await outcome(one, job_id) for name, job_id in job_ids.items()}


async def outcome(one: InProcessStack, job_id: str) -> Outcome:
    """Deliver messages until the job is finished, and return its outcome."""
    with suppress(TimeoutError):  # the status shows a job that never finishes; the other jobs are still checked
        await one.wait_until_finished(job_id)
    reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
    if reply.status_code == 200:
        return Outcome(await one.status(job_id), await one.files(job_id))
    assert (reply.status_code, reply.headers["content-type"]) == (409, "application/problem+json")
    return Outcome(await one.status(job_id), None)
