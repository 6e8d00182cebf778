"""The owner of a connection on loopback, read from /proc: chaos runs require Linux."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def socket_owner(port: int, pids: Iterable[int]) -> int:
    """Return the one of these processes that uses the local TCP port, or 0 if none does."""
    inode = _inode(port)
    if inode:
        for pid in pids:
            if _has_open(pid, f"socket:[{inode}]"):
                return pid
    return 0


def _inode(port: int) -> str:
    address = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1] == address and fields[9] != "0":
            return fields[9]
    return ""


def _has_open(pid: int, target: str) -> bool:
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{name}") == target:
                    return True
    return False
