"""Waiting until nothing is looked at any more."""

from promptforge.domain.moment import DAY_SECONDS
from promptforge.service.erase import AGAIN_SECONDS, STALL_SECONDS
from promptforge.service.sweep import sweep
from tests.support.clock import HandClock
from tests.support.machine import Machine


async def settle_down(one: Machine, clock: HandClock) -> None:
    """Time passes, the timer ticks, everything is delivered: longer than a deleted job may be looked at."""
    days = int(3 * STALL_SECONDS / DAY_SECONDS) + 2
    for seconds in [AGAIN_SECONDS + 1] * 5 + [DAY_SECONDS] * days:
        clock.move(seconds)
        await sweep(one.app)
        await one.bring_all()
