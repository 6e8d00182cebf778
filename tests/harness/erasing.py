"""The time that erasing a deleted job takes."""

from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.domain.timestamps import DAY_SECONDS
from promptforge.pipeline.sweep import sweep
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack


async def advance(stack: InProcessStack, clock: ManualClock, seconds: float) -> None:
    """Let time pass, sweep, and deliver everything that is due."""
    clock.advance(seconds)
    await sweep(stack.context)
    await stack.deliver_all()


async def wait_until_erased(stack: InProcessStack, clock: ManualClock) -> None:
    """Let more time pass, with regular sweeps, than a tombstone can last."""
    days = int(3 * MAX_PROCESS_STALL_SECONDS / DAY_SECONDS) + 2
    for seconds in [ERASE_RETRY_SECONDS + 1] * 5 + [DAY_SECONDS] * days:
        await advance(stack, clock, seconds)
