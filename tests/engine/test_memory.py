"""What a process holds does not grow with what a client sends: in a real process, with a real 100 MB line."""

from pathlib import Path

from benchmarks.memory import LIMIT_MIB, measure, write_around_long_line

MEGABYTES = 1_000_000


def test_a_line_of_100_megabytes_is_split_and_answered_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    lines, long_line = write_around_long_line(path, 200 * MEGABYTES, line_bytes=100 * MEGABYTES)
    with path.open("rb") as file:
        assert max(len(line) for line in file) == 100 * MEGABYTES + 1

    peaks = measure(path, lines, long_line)

    assert max(peaks.values()) < LIMIT_MIB, peaks
    assert peaks["worker"] - peaks["before"] < 90, peaks  # MiB: not even once was the line held as a whole
