"""Google's emulators from the Cloud SDK, started without its wrapper, which leaves Java running when it stops."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Self

import pytest

START_SECONDS = 60.0
POLL_SECONDS = 0.05
PORTS = range(20_000, 32_000)  # below the ephemeral ports of Linux and macOS
JVM = ["-Duser.language=en", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def free_port() -> int:
    """Return a port without a listener.

    It is not an ephemeral port, so no other process gets it by chance: a server can start on it later, and again.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test because this machine lacks a program.

    With CI set, fail it.
    """
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI is set")
    pytest.skip(reason)


def _find_jar(pattern: str) -> Path:
    gcloud = shutil.which("gcloud")
    if not shutil.which("java"):
        skip_or_fail("Java is not installed")
    if gcloud is None:
        skip_or_fail("the Google Cloud SDK is not installed")
    root = Path(gcloud).resolve().parents[1]
    found = sorted((root / "platform").glob(pattern))
    if not found:
        skip_or_fail(f"the Cloud SDK has no {pattern}; gcloud components install adds it")
    return found[-1]


class Emulator:
    """One Java process in a session of its own, on a loopback port that does not change."""

    def __init__(self, command: list[str]) -> None:
        self.port = free_port()
        self._command = [*command, "--host=127.0.0.1", f"--port={self.port}"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port, in the format of the clients' environment variables."""
        return f"127.0.0.1:{self.port}"

    def start(self, *options: str) -> Self:
        """Start the process and wait until it responds."""
        self._process = subprocess.Popen(
            ["java", *JVM, *self._command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise
        return self

    def suspend(self) -> None:
        """Suspend the process: connections stay open and no request gets a response."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended process."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process.

        Its data is lost.
        """
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if process.poll() is not None:
                raise RuntimeError(f"{self._command} exited with {process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._command} did not respond within {START_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            self._send(urllib.request.Request(f"http://{self.address}/"))
        except OSError:
            return False
        return True

    def _send(self, request: urllib.request.Request) -> None:
        urllib.request.urlopen(request, timeout=30).close()


class Firestore(Emulator):
    """The Firestore emulator.

    Its data is lost when it ends.
    """

    def __init__(self) -> None:
        jar = _find_jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")
        main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
        super().__init__(["-Xmx512m", "-cp", str(jar), main])

    def _is_ready(self) -> bool:
        """Return whether it has written a document.

        The first write takes seconds.
        """
        document = f"http://{self.address}/v1/projects/ready/databases/(default)/documents/ready/1"
        try:
            self._send(_json_request(document, {"fields": {}}, "PATCH"))
        except OSError:
            return False
        return True

    def restart(self, project: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Kill the emulator, call `meanwhile` and start the emulator again with the documents of a project.

        Commits during the call may be lost, so no client may write. Afterwards every version is a new one, and every
        project that was not used before starts with the same documents. A test therefore requires its own emulator.
        """
        with tempfile.TemporaryDirectory() as folder:
            body = {"database": f"projects/{project}/databases/(default)", "export_directory": folder}
            address = f"http://{self.address}/emulator/v1/projects/{project}:export"
            self._send(_json_request(address, {**body, "export_name": "state"}, "POST"))
            self.kill()
            meanwhile()
            self.start(f"--import-data={folder}/state/state.overall_export_metadata")


class Pubsub(Emulator):
    """The Pub/Sub emulator."""

    def __init__(self) -> None:
        jar = _find_jar("pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar")
        super().__init__(["-Xmx256m", "-jar", str(jar)])


def _json_request(address: str, body: dict[str, object], method: str) -> urllib.request.Request:
    headers = {"Content-Type": "application/json"}
    return urllib.request.Request(address, json.dumps(body).encode(), headers, method=method)
