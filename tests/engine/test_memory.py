"""The memory of a process is independent of the size of an input line: a real process, with a line of 100 MB."""

from pathlib import Path

from benchmarks.memory import LIMIT_MIB, measure, write_around_long_line

MEGABYTES = 1_000_000


def test_memory_100_megabyte_line_stays_below_limit(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    lines, long_line = write_around_long_line(path, 200 * MEGABYTES, line_bytes=100 * MEGABYTES)
    with path.open("rb") as file:
        assert max(len(line) for line in file) == 100 * MEGABYTES + 1

    peaks = measure(path, lines, long_line)

    assert max(peaks.values()) < LIMIT_MIB, peaks
    assert peaks["worker"] - peaks["before"] < 90, peaks  # MiB: the whole line is never in memory
