"""Waiting until nothing is looked at any more."""

from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.domain.timestamps import DAY_SECONDS
from promptforge.pipeline.sweep import sweep
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack


async def wait_until_erased(one: InProcessStack, clock: HandClock) -> None:
    """Time passes, the timer ticks, everything is delivered: longer than a deleted job may be looked at."""
    days = int(3 * MAX_PROCESS_STALL_SECONDS / DAY_SECONDS) + 2
    for seconds in [ERASE_RETRY_SECONDS + 1] * 5 + [DAY_SECONDS] * days:
        clock.move(seconds)
        await sweep(one.app)
        await one.deliver_all()
