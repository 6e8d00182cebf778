"""The splitter beside a loop that only parses: lines per second, and the splitter's peak memory.

    python benchmarks/splitting.py [--lines 1000000]

Both read the same file in one process, one after the other; the ratio is what holds on another machine.
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

from promptforge.app import build
from promptforge.domain.job import Job
from promptforge.domain.messages import RANDOM, make_job_id, upload_object
from promptforge.service.app import App
from promptforge.service.split import split
from promptforge.settings import Settings


def write_input(path: Path, lines: int) -> None:
    """About 143 bytes a line."""
    with path.open("w") as file:
        for number in range(lines):
            file.write(ordinary_line(number))


def ordinary_line(number: int) -> str:
    prompt = f"Summarise document {number} in one sentence, and name the two people who are mentioned most."
    return json.dumps({"prompt_id": f"document-{number:09d}", "prompt": prompt}) + "\n"


def parse_only(path: Path) -> float:
    """Seconds for orjson alone."""
    began = time.perf_counter()
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)
    return time.perf_counter() - began


async def uploaded(folder: Path, path: Path, lines: int) -> tuple[App, str]:
    """An app in a folder, with a job whose file of so many lines is uploaded."""
    app = build(Settings(data_dir=folder, max_lines=lines, max_upload_bytes=2**40))
    job_id = make_job_id(app.rng.getrandbits(128), RANDOM)
    job = Job(
        job_id=job_id, client="c", provider="echo", model="m", max_retries=0, created_at=0, upload_expires_at=0,
        request_digest="", due_at=0, deadline_at=0,
    )  # fmt: skip
    await app.ledger.create_job(job)
    await app.uploads.create(upload_object(job_id), _blocks(path))
    return app, job_id


async def split_once(folder: Path, path: Path, lines: int) -> float:
    """Seconds for the whole split: reading, judging, chunk documents, announcements."""
    app, job_id = await uploaded(folder, path, lines)
    began = time.perf_counter()
    await split(app, job_id)
    seconds = time.perf_counter() - began
    ended = await app.ledger.job(job_id)
    if ended is None or ended.prompt_count != lines or ended.invalid_count:
        raise SystemExit(f"the split went wrong: {ended}")
    return seconds


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            yield block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.jsonl"
        write_input(path, asked.lines)
        for number in range(asked.rounds):
            parsing = parse_only(path)
            splitting = asyncio.run(split_once(Path(folder) / str(number), path, asked.lines))
            ratios.append(parsing / splitting)
            print(
                f"parse only {asked.lines / parsing:9.0f} lines/s   split {asked.lines / splitting:9.0f} lines/s   "
                f"ratio {ratios[-1]:.2f}"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"median ratio {statistics.median(ratios):.2f}, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
