"""A real engine: `promptforge serve` as a process group, which a test can kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.canary import find_leaks

POLL_SECONDS = 0.02
WORKERS_SECONDS = 20.0
WORKER_MODULE = "promptforge.engine.worker_process"


@dataclass
class Engine:
    """A running engine."""

    process: subprocess.Popen[str]
    url: str
    key: str

    @property
    def port(self) -> int:
        """The port of the API, so that the next engine can use the same one."""
        return int(self.url.rpartition(":")[2])

    @property
    def worker_pids(self) -> list[int]:
        """The child processes of the engine at this moment."""
        return _pgrep("-P", self.process.pid)

    @property
    def session_pids(self) -> list[int]:
        """Every process of the engine's session, including workers that outlive the engine."""
        return _pgrep("-s", self.process.pid)

    def wait_for_workers(self, count: int, without: Collection[int] = ()) -> list[int]:
        """Wait until the engine has exactly `count` worker processes, none of which is in `without`.

        Returns them.

        The engine replaces an exited worker after a delay, so a test that reads `worker_pids` once may see too few.
        """
        deadline = time.monotonic() + WORKERS_SECONDS
        while True:
            pids = [pid for pid in self.worker_pids if worker_instance(pid)]
            if len(pids) == count and not set(pids) & set(without):
                return pids
            if time.monotonic() > deadline:
                raise TimeoutError(f"the engine has the workers {pids}, not {count} new ones")
            time.sleep(POLL_SECONDS)

    def kill_all(self) -> None:
        """Send SIGKILL to the engine and every worker."""
        for pid in (*self.worker_pids, self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def kill(self) -> None:
        """Send SIGKILL to the engine alone.

        Its workers notice and exit.
        """
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """Send SIGTERM to the engine and return its exit code."""
        self.process.terminate()
        return self.process.wait(20)


def start_engine(data_dir: Path, environ: Mapping[str, str] | None = None, port: int = 0, workers: int = 2) -> Engine:
    """Start an engine and wait for its line `Ready`."""
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
    fields: dict[str, str] = {}
    for line in process.stdout or ():
        name, _, value = line.strip().partition("  ")
        fields[name] = value.strip()
        if name == "Ready":
            return Engine(process, fields["URL"], fields["API key"])
    raise AssertionError((data_dir.parent / "engine.err").read_text())


@contextmanager
def engine(data_dir: Path, environ: Mapping[str, str] | None = None, workers: int = 2) -> Iterator[Engine]:
    """Run an engine.

    At the end, every process of it is killed and its log must contain no secret.
    """
    running = start_engine(data_dir, environ, workers=workers)
    try:
        yield running
    finally:
        stop_engine(running)
    assert not find_leaks((data_dir.parent / "engine.err").read_bytes())


def stop_engine(running: Engine) -> None:
    """Kill every process of an engine."""
    for pid in running.session_pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.process.wait()
    if running.process.stdout:
        running.process.stdout.close()


def worker_instance(pid: int) -> str:
    """Return the instance name of a worker process, which its leases contain.

    Empty if it does not run.
    """
    arguments = _ps("args", pid)
    return arguments.split()[-1] if "worker_process" in arguments else ""


def suspend(pid: int) -> None:
    """Send SIGSTOP and wait until the process is suspended."""
    os.kill(pid, signal.SIGSTOP)
    while (state := _ps("stat", pid)) and state[0] not in "TZ":
        time.sleep(0.005)


def _ps(field: str, pid: int) -> str:
    """Return a field of ps.

    Empty if the process does not exist.
    """
    command = ["ps", "-ww", "-o", f"{field}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def all_worker_pids() -> list[int]:
    """Return every worker process on this machine, of any engine."""
    return _pgrep("-f", WORKER_MODULE)


def _pgrep(option: str, value: object) -> list[int]:
    found = subprocess.run(["pgrep", option, str(value)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the developer's settings and keys, and with `environ`."""
    prefixes = ("PROMPTFORGE_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "MISTRAL_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**inherited, **environ}


def run_cli(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a `promptforge` command and return its result."""
    command, env = [sys.executable, "-m", "promptforge", *map(str, arguments)], clean_environment(environ)
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
