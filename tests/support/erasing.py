"""Waiting until nothing is looked at any more."""

from promptforge.service.erase import AGAIN_SECONDS
from promptforge.service.sweep import sweep
from tests.support.clock import HandClock
from tests.support.machine import Machine


async def settle_down(one: Machine, clock: HandClock) -> None:
    """Time passes, the timer ticks, everything is delivered: longer than a deleted job may be looked at."""
    for _ in range(30):
        clock.move(AGAIN_SECONDS + 1)
        await sweep(one.app)
        await one.bring_all()
