"""Google's emulators as the Cloud SDK ships them, without its wrapper, which leaves Java running when it is stopped."""

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
PORTS = range(20_000, 32_000)  # below the ports that Linux and macOS choose from for others
JVM = ["-Duser.language=en", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def free_port() -> int:
    """A port that nobody listens on now, out of those that systems give to nobody who does not ask for them: a server
    may be started on it later, and again."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def skip_or_fail(what: str) -> NoReturn:
    """Skip, for want of something that a developer's machine may lack and a CI machine may not."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI is set")
    pytest.skip(what)


def _jar(pattern: str) -> Path:
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
    """One Java process in a session of its own, on a loopback port that stays the same."""

    def __init__(self, command: list[str]) -> None:
        self.port = free_port()
        self._command = [*command, "--host=127.0.0.1", f"--port={self.port}"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port, as the clients' variables have it."""
        return f"127.0.0.1:{self.port}"

    def start(self, *options: str) -> Self:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            ["java", *JVM, *self._command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait(self._process)
        except BaseException:
            self.kill()
            raise
        return self

    def suspend(self) -> None:
        """Stop the process where it is: connections stay and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it; what it held is gone."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None:
                raise RuntimeError(f"{self._command} ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._command} did not answer")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self._ask(urllib.request.Request(f"http://{self.address}/"))
        except OSError:
            return False
        return True

    def _ask(self, request: urllib.request.Request) -> None:
        urllib.request.urlopen(request, timeout=30).close()


class Firestore(Emulator):
    """The Firestore emulator. It forgets all when it ends."""

    def __init__(self) -> None:
        jar = _jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")
        main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
        super().__init__(["-Xmx512m", "-cp", str(jar), main])

    def _answers(self) -> bool:
        """Whether it has written a document: the first one takes it seconds."""
        document = f"http://{self.address}/v1/projects/ready/databases/(default)/documents/ready/1"
        try:
            self._ask(_json_request(document, {"fields": {}}, "PATCH"))
        except OSError:
            return False
        return True

    def restart(self, project: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Kill it and start it again with the documents that `project` had. Keep clients away from the call on: what
        is committed after it began may be lost. Every version is another afterwards, and every project that was never
        used begins with the same documents, so a test needs an emulator of its own for this."""
        with tempfile.TemporaryDirectory() as folder:
            body = {"database": f"projects/{project}/databases/(default)", "export_directory": folder}
            address = f"http://{self.address}/emulator/v1/projects/{project}:export"
            self._ask(_json_request(address, {**body, "export_name": "state"}, "POST"))
            self.kill()
            meanwhile()
            self.start(f"--import-data={folder}/state/state.overall_export_metadata")


class Pubsub(Emulator):
    """The Pub/Sub emulator."""

    def __init__(self) -> None:
        jar = _jar("pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar")
        super().__init__(["-Xmx256m", "-jar", str(jar)])


def _json_request(address: str, body: dict[str, object], method: str) -> urllib.request.Request:
    headers = {"Content-Type": "application/json"}
    return urllib.request.Request(address, json.dumps(body).encode(), headers, method=method)
