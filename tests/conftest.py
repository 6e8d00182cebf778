"""What holds for the whole run, whatever a test is about."""

import logging
from collections.abc import Iterator

import pytest

from tests.support.canary import leaks

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
    told = [line for line in _lines if leaks(line)]
    assert not told
