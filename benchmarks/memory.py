"""Measure the peak memory of the splitter and of a worker on large files, each file in a new process.

    python -m benchmarks.memory [--bytes 1073741824] [--line-bytes 100000000]

The first file has ordinary lines only. The second has one very long line between valid lines, and the worker processes
the chunk of that line. The exit code is 1 if a peak reaches LIMIT_MIB.
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
    """Append ordinary lines until they have `size` bytes, and return their number."""
    number, written = first, 0
    with path.open("a") as file:
        while written < size:
            line = ordinary_line(number)
            written += file.write(line)
            number += 1
    return number - first


def write_around_long_line(path: Path, size: int, line_bytes: int) -> tuple[int, int]:
    """Write a file of about `size` bytes with one long line in the middle.

    Returns the number of lines, and the line number of the long one.
    """
    before = write_lines(path, (size - line_bytes) // 2)
    with path.open("ab") as file:
        head, tail = b'{"prompt_id": "long", "prompt": "', b'"}\n'
        remaining = line_bytes - len(head) - len(tail) + 1
        file.write(head)
        while remaining:
            remaining -= file.write(b"x" * min(remaining, BLOCK_BYTES))
        file.write(tail)
    after = write_lines(path, (size - line_bytes) // 2, first=before)
    return before + 1 + after, before + 1


def measure(path: Path, lines: int, long_line: int = 0) -> dict[str, float]:
    """Split the file in a new process, process the chunk of its long line, if any, and return the peaks in MiB."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", str(path), str(lines), str(long_line)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True)
    peaks: dict[str, float] = json.loads(done.stdout)
    return peaks


async def split_and_process(folder: Path, path: Path, lines: int, long_line: int) -> dict[str, float]:
    """Split the file, process the chunk of its long line, and return the peaks in MiB."""
    app, job_id = await uploaded(folder, path, lines)
    peaks = {"before": peak_mib()}
    await split(app, job_id)
    job = await app.jobs.get(job_id)
    if job is None or (job.prompt_count, job.invalid_count) != (lines, bool(long_line)):
        raise SystemExit(f"The split failed: {job}")
    peaks["splitter"] = peak_mib()
    if long_line:
        await _process_chunk_of(app, job_id, long_line)
        peaks["worker"] = peak_mib()
    await app.close()
    return peaks


async def _process_chunk_of(app: AppContext, job_id: str, line: int) -> None:
    """Process the chunk of a line, which must be its only invalid line."""
    (number,) = [c.number async for c in app.chunks.list_all(job_id) if c.first_line <= line <= c.last_line]
    await process_chunk(build_worker_runtime(app), ProcessChunk(job_id=job_id, chunk=number))
    (chunk,) = [c async for c in app.chunks.list_all(job_id) if c.number == number]
    if chunk.open or (chunk.completed, chunk.failed) != (chunk.line_count - 1, 1):
        raise SystemExit(f"The chunk is not complete: {chunk}")


def _report(name: str, path: Path, lines: int, long_line: int = 0) -> bool:
    started_at = time.perf_counter()
    peaks = measure(path, lines, long_line)
    seconds = time.perf_counter() - started_at
    figures = "   ".join(f"{step} {peak:.0f} MiB" for step, peak in peaks.items())
    print(f"{name}: {path.stat().st_size:,} bytes, {lines:,} lines, {seconds:.0f} s   peak {figures}", flush=True)
    return max(peaks.values()) < LIMIT_MIB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=1024**3)
    parser.add_argument("--line-bytes", type=int, default=100_000_000)
    parser.add_argument("--child", nargs=3, metavar=("FILE", "LINES", "LONG_LINE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.child:
            path, lines, long_line = Path(options.child[0]), int(options.child[1]), int(options.child[2])
            print(json.dumps(asyncio.run(split_and_process(Path(folder), path, lines, long_line))))
            return 0
        return measure_both(Path(folder), options.bytes, options.line_bytes)


def measure_both(folder: Path, size: int, line_bytes: int) -> int:
    plain, long = folder / "lines.jsonl", folder / "long.jsonl"
    within = [_report("ordinary lines", plain, write_lines(plain, size))]
    plain.unlink()
    within.append(_report("one long line", long, *write_around_long_line(long, size, line_bytes)))
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
