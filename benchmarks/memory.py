"""The splitter's and a worker's peak memory on files that are hard to hold, each file in a process of its own.

    python -m benchmarks.memory [--bytes 1073741824] [--line-bytes 100000000]

The first file has ordinary lines only; the second has one very long line with good lines around it, and the worker
that is measured is the one that meets it. Ends with 1 if a peak reaches LIMIT_MIB.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peak import peak_mib
from benchmarks.splitting import ordinary_line, uploaded

from promptforge.bootstrap import build_worker_runtime
from promptforge.context import AppContext
from promptforge.domain.commands import ProcessChunk
from promptforge.pipeline.split import split
from promptforge.worker.process_chunk import process_chunk

LIMIT_MIB = 256
BLOCK_BYTES = 1_000_000


def write_lines(path: Path, size: int, first: int = 0) -> int:
    """Append ordinary lines until they have `size` bytes; how many they are."""
    number, written = first, 0
    with path.open("a") as file:
        while written < size:
            line = ordinary_line(number)
            written += file.write(line)
            number += 1
    return number - first


def write_around_long_line(path: Path, size: int, line_bytes: int) -> tuple[int, int]:
    """Write a file of about `size` bytes with one long line half-way: its number of lines, and the long one's."""
    before = write_lines(path, (size - line_bytes) // 2)
    with path.open("ab") as file:
        head, tail = b'{"prompt_id": "long", "prompt": "', b'"}\n'
        left = line_bytes - len(head) - len(tail) + 1
        file.write(head)
        while left:
            left -= file.write(b"x" * min(left, BLOCK_BYTES))
        file.write(tail)
    after = write_lines(path, (size - line_bytes) // 2, first=before)
    return before + 1 + after, before + 1


def measure(path: Path, lines: int, long_line: int = 0) -> dict[str, float]:
    """Peaks in MiB of a new process that splits the file, and works on the chunk of its long line if there is one."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", str(path), str(lines), str(long_line)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True)
    peaks: dict[str, float] = json.loads(done.stdout)
    return peaks


async def split_and_work(folder: Path, path: Path, lines: int, long_line: int) -> dict[str, float]:
    """What the new process does."""
    app, job_id = await uploaded(folder, path, lines)
    peaks = {"before": peak_mib()}
    await split(app, job_id)
    job = await app.jobs.get(job_id)
    if job is None or (job.prompt_count, job.invalid_count) != (lines, bool(long_line)):
        raise SystemExit(f"the split went wrong: {job}")
    peaks["splitter"] = peak_mib()
    if long_line:
        await _work_on(app, job_id, long_line)
        peaks["worker"] = peak_mib()
    await app.close()
    return peaks


async def _work_on(app: AppContext, job_id: str, line: int) -> None:
    """Settle the chunk that holds a line, which is its only bad one."""
    (number,) = [c.number async for c in app.chunks.list_all(job_id) if c.first_line <= line <= c.last_line]
    await process_chunk(build_worker_runtime(app), ProcessChunk(job_id=job_id, chunk=number))
    (chunk,) = [c async for c in app.chunks.list_all(job_id) if c.number == number]
    if chunk.open or (chunk.completed, chunk.failed) != (chunk.line_count - 1, 1):
        raise SystemExit(f"the work went wrong: {chunk}")


def _report(name: str, path: Path, lines: int, long_line: int = 0) -> bool:
    began = time.perf_counter()
    peaks = measure(path, lines, long_line)
    seconds = time.perf_counter() - began
    figures = "   ".join(f"{who} {peak:.0f} MiB" for who, peak in peaks.items())
    print(f"{name}: {path.stat().st_size:,} bytes, {lines:,} lines, {seconds:.0f} s   peak {figures}", flush=True)
    return max(peaks.values()) < LIMIT_MIB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=1024**3)
    parser.add_argument("--line-bytes", type=int, default=100_000_000)
    parser.add_argument("--child", nargs=3, metavar=("FILE", "LINES", "LONG_LINE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.child:
            path, lines, long_line = Path(asked.child[0]), int(asked.child[1]), int(asked.child[2])
            print(json.dumps(asyncio.run(split_and_work(Path(folder), path, lines, long_line))))
            return 0
        return measure_both(Path(folder), asked.bytes, asked.line_bytes)


def measure_both(folder: Path, size: int, line_bytes: int) -> int:
    plain, long = folder / "lines.jsonl", folder / "long.jsonl"
    kept = _report("ordinary lines", plain, write_lines(plain, size))
    plain.unlink()
    kept &= _report("one long line", long, *write_around_long_line(long, size, line_bytes))
    return not kept


if __name__ == "__main__":
    sys.exit(main())
