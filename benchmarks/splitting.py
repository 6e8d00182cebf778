"""Measure the splitter beside a loop that only parses: lines per second, and the peak memory of the splitter.

    python benchmarks/splitting.py [--lines 1000000]

Both read the same file in one process, one after the other. The ratio is comparable between machines.
"""

import argparse
import asyncio
import json
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from promptforge.bootstrap import build_context
from promptforge.context import AppContext
from promptforge.domain.job import Job
from promptforge.domain.job_id import UUID_RANDOM, make_job_id
from promptforge.pipeline.split import split
from promptforge.settings import Settings
from promptforge.state.objects import upload_object


def write_input(path: Path, lines: int) -> None:
    """Write a file with about 143 bytes per line."""
    with path.open("w") as file:
        for number in range(lines):
            file.write(ordinary_line(number))


def ordinary_line(number: int) -> str:
    prompt = f"Summarise document {number} in one sentence, and name the two people who are mentioned most."
    return json.dumps({"prompt_id": f"document-{number:09d}", "prompt": prompt}) + "\n"


def parse_only(path: Path) -> float:
    """Return the seconds that orjson alone takes."""
    started_at = time.perf_counter()
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)
    return time.perf_counter() - started_at


async def uploaded(folder: Path, path: Path, lines: int) -> tuple[AppContext, str]:
    """Build a context in a folder, with a job whose file is uploaded."""
    app = build_context(Settings(data_dir=folder, max_lines=lines, max_upload_bytes=2**40))
    job_id = make_job_id(app.rng.getrandbits(128), UUID_RANDOM)
    job = Job(
        job_id=job_id, client="c", provider="echo", model="m", max_retries=0, created_at=0, upload_expires_at=0,
        request_digest="", due_at=0, deadline_at=0,
    )  # fmt: skip
    await app.jobs.create(job)
    await app.uploads.create(upload_object(job_id), _blocks(path))
    return app, job_id


async def split_once(folder: Path, path: Path, lines: int) -> float:
    """Return the seconds of a whole split: read, validate, write the chunk documents and publish."""
    app, job_id = await uploaded(folder, path, lines)
    started_at = time.perf_counter()
    await split(app, job_id)
    seconds = time.perf_counter() - started_at
    ended = await app.jobs.get(job_id)
    if ended is None or ended.prompt_count != lines or ended.invalid_count:
        raise SystemExit(f"The split failed: {ended}")
    return seconds


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            yield block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.jsonl"
        write_input(path, options.lines)
        for number in range(options.rounds):
            parsing = parse_only(path)
            splitting = asyncio.run(split_once(Path(folder) / str(number), path, options.lines))
            ratios.append(parsing / splitting)
            print(
                f"parse only {options.lines / parsing:9.0f} lines/s   split {options.lines / splitting:9.0f} lines/s   "
                f"ratio {ratios[-1]:.2f}"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"median ratio {statistics.median(ratios):.2f}, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
