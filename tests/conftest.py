"""Google's emulators, for whoever asks for them: started once, and kept apart by project."""

import uuid
from collections.abc import Iterator

import pytest

from tests.support.emulators import Firestore, Pubsub


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
