"""How much memory a process has needed."""

import resource
from pathlib import Path


def peak_mib() -> float:
    """The most memory that this process has held at once. Linux counts what the parent held before the start of a
    program into `ru_maxrss`, so there its own figure is read."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # bytes on macOS
