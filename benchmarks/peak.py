"""The peak memory of this process."""

import resource
from pathlib import Path


def peak_mib() -> float:
    """Return the peak memory of this process in MiB.

    On Linux, `ru_maxrss` includes the memory of the parent before the program started. VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # bytes on macOS
