"""Which process a connection on the loopback belongs to, read from /proc: the storm runs on Linux only."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def owner_of(port: int, pids: Iterable[int]) -> int:
    """The one of these processes that has the local TCP port; 0 if none has it, or not any more."""
    inode = _inode(port)
    if inode:
        for pid in pids:
            if _holds(pid, f"socket:[{inode}]"):
                return pid
    return 0


def _inode(port: int) -> str:
    address = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1] == address and fields[9] != "0":
            return fields[9]
    return ""


def _holds(pid: int, target: str) -> bool:
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{name}") == target:
                    return True
    return False
