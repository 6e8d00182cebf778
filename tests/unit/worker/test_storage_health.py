"""The health of the storage: no call starts after a failed write, until a write succeeds or some time has passed."""

import asyncio

import pytest

from promptforge.errors import Unavailable
from promptforge.worker.storage_health import StorageHealth


def unavailable() -> Unavailable:
    return Unavailable("documents", "locked")


async def test_storage_health_when_new_is_healthy() -> None:
    assert StorageHealth(60.0).is_healthy


async def test_storage_health_failed_write_makes_callers_wait_for_a_success() -> None:
    health = StorageHealth(3600.0)
    health.failed(unavailable())
    assert not health.is_healthy
    waiting = [asyncio.create_task(health.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    health.succeeded()

    assert health.is_healthy
    await asyncio.wait_for(asyncio.gather(*waiting), 20)


async def test_storage_health_wait_without_a_success_ends_after_its_time() -> None:
    health = StorageHealth(0.01)
    health.failed(unavailable())
    await asyncio.wait_for(health.wait(), 20)

    assert health.is_healthy


async def test_storage_health_wait_while_healthy_ends_at_once() -> None:
    health = StorageHealth(3600.0)
    await asyncio.wait_for(health.wait(), 20)
    health.failed(unavailable())
    health.succeeded()

    await asyncio.wait_for(health.wait(), 20)


async def test_storage_health_second_failure_extends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("promptforge.worker.storage_health.monotonic_time", lambda: now)
    health = StorageHealth(10.0)
    health.failed(unavailable())
    now = 109.0
    health.failed(unavailable())
    now = 118.9
    assert not health.is_healthy

    now = 119.0
    assert health.is_healthy


async def test_storage_health_outage_is_logged_once_until_a_write_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health = StorageHealth(60.0)
    with caplog.at_level("INFO"):
        health.succeeded()
        for _ in range(2):
            for _ in range(3):
                health.failed(unavailable())
            health.succeeded()
            health.succeeded()

    assert caplog.messages == ["storage_unavailable", "storage_available"] * 2
