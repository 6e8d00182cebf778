"""Checks that apply to every test, and the emulators, which are started once and shared.

A project of its own isolates each test on a shared emulator.
"""

import logging
import uuid
from collections.abc import Iterator

import pytest

from tests.harness.canary import find_leaks
from tests.harness.emulators import Firestore, Pubsub

_log_lines: list[str] = []


def _record(record: logging.LogRecord) -> bool:
    _log_lines.append(f"{record.getMessage()} {getattr(record, 'fields', None)!r}")
    return True


def pytest_configure() -> None:
    """Record every log line of the product, of any level and for any destination."""
    logger = logging.getLogger("promptforge")
    logger.addFilter(_record)
    logger.setLevel(logging.DEBUG)


@pytest.fixture(autouse=True)
def log_without_secrets() -> Iterator[None]:
    """Check that no log line of a test contains a provider's text, a prompt, a completion, a key or a signed URL."""
    _log_lines.clear()
    yield
    leaks = [line for line in _log_lines if find_leaks(line)]
    assert not leaks


@pytest.fixture
def project() -> str:
    """Return a new project.

    An emulator creates a project when it is first used.
    """
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def firestore() -> Iterator[Firestore]:
    """Run the shared Firestore emulator."""
    emulator = Firestore()
    emulator.start()
    yield emulator
    emulator.kill()


@pytest.fixture(scope="session")
def pubsub() -> Iterator[Pubsub]:
    """Run the shared Pub/Sub emulator."""
    emulator = Pubsub()
    emulator.start()
    yield emulator
    emulator.kill()
