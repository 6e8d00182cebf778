"""A real engine: `promptforge serve` as a process group of its own, that can be killed for real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.canary import find_leaks


@dataclass
class Engine:
    """A running engine."""

    process: subprocess.Popen[str]
    url: str
    key: str

    @property
    def port(self) -> int:
        """Where it listens, for the next engine to listen there too."""
        return int(self.url.rpartition(":")[2])

    @property
    def worker_pids(self) -> list[int]:
        """The processes that the engine has started."""
        return _pgrep("-P", self.process.pid)

    @property
    def session_pids(self) -> list[int]:
        """Everything that is left of the engine, also workers that have outlived it."""
        return _pgrep("-s", self.process.pid)

    def kill_all(self) -> None:
        """kill -9 for the engine and every worker at once."""
        for pid in (*self.worker_pids, self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def kill(self) -> None:
        """kill -9 for the engine alone; its workers find out by themselves."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(20)


def start_engine(data_dir: Path, environ: Mapping[str, str] | None = None, port: int = 0, workers: int = 2) -> Engine:
    """Start an engine and wait for its ready line."""
    command = [sys.executable, "-m", "promptforge", "serve", "--port", str(port)]
    command += ["--data-dir", str(data_dir), "--workers", str(workers)]
    with (data_dir.parent / "engine.err").open("ab") as log:
        process = subprocess.Popen(
            command,
            env=clean_environment(environ or {}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    said: dict[str, str] = {}
    for line in process.stdout or ():
        name, _, value = line.strip().partition("  ")
        said[name] = value.strip()
        if name == "Ready":
            return Engine(process, said["URL"], said["API key"])
    raise AssertionError((data_dir.parent / "engine.err").read_text())


@contextmanager
def engine(data_dir: Path, environ: Mapping[str, str] | None = None, workers: int = 2) -> Iterator[Engine]:
    """An engine for as long as the context lasts; whatever is left of it at the end is killed."""
    running = start_engine(data_dir, environ, workers=workers)
    try:
        yield running
    finally:
        stop_engine(running)
    assert not find_leaks((data_dir.parent / "engine.err").read_bytes())


def stop_engine(running: Engine) -> None:
    """Make sure that nothing of an engine is left."""
    for pid in running.session_pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.process.wait()
    if running.process.stdout:
        running.process.stdout.close()


def worker_instance(pid: int) -> str:
    """The name under which a worker process takes its leases; empty if there is no such process any more."""
    said = _ps("args", pid)
    return said.split()[-1] if "worker_process" in said else ""


def suspend(pid: int) -> None:
    """SIGSTOP, and return when it has worked."""
    os.kill(pid, signal.SIGSTOP)
    while (state := _ps("stat", pid)) and state[0] not in "TZ":
        time.sleep(0.005)


def _ps(field: str, pid: int) -> str:
    """What ps says of a process; nothing if there is none."""
    command = ["ps", "-ww", "-o", f"{field}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def all_worker_pids() -> list[int]:
    """All worker processes on this machine, whosever they are."""
    return _pgrep("-f", "promptforge.engine.worker_process")


def _pgrep(option: str, what: object) -> list[int]:
    found = subprocess.run(["pgrep", option, str(what)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    theirs = ("PROMPTFORGE_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "MISTRAL_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return {**own, **environ}


def run_cli(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "promptforge", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=clean_environment(environ), timeout=60, check=False
    )
