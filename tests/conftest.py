"""What holds for the whole run, whatever a test is about; and Google's emulators, for whoever asks for them: started
once, and kept apart by project."""

import logging
import uuid
from collections.abc import Iterator

import pytest

from tests.harness.canary import find_leaks
from tests.harness.emulators import Firestore, Pubsub

_lines: list[str] = []


def _overhear(record: logging.LogRecord) -> bool:
    _lines.append(f"{record.getMessage()} {getattr(record, 'fields', None)!r}")
    return True


def pytest_configure() -> None:
    """Hear every log line of the product, of any level and wherever it goes."""
    logger = logging.getLogger("promptforge")
    logger.addFilter(_overhear)
    logger.setLevel(logging.DEBUG)


@pytest.fixture(autouse=True)
def nothing_is_told() -> Iterator[None]:
    """No log line of any test holds a provider's text, a prompt, an answer, a key or a signed URL."""
    _lines.clear()
    yield
    told = [line for line in _lines if find_leaks(line)]
    assert not told


@pytest.fixture
def project() -> str:
    """A project of the test's own: an emulator keeps projects apart, and makes each when it is first used."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def firestore() -> Iterator[Firestore]:
    """The Firestore emulator that all tests share."""
    emulator = Firestore()
    emulator.start()
    yield emulator
    emulator.kill()


@pytest.fixture(scope="session")
def pubsub() -> Iterator[Pubsub]:
    """The Pub/Sub emulator that all tests share."""
    emulator = Pubsub()
    emulator.start()
    yield emulator
    emulator.kill()
