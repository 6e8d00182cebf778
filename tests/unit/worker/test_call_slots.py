"""The call slots of a process: the limit on concurrent calls, and the exclusive slot of an isolated prompt."""

import asyncio
from contextlib import AbstractAsyncContextManager

from promptforge.worker.call_slots import CallSlots


class Caller:
    """A task that waits for a slot and occupies it until it is told to leave."""

    def __init__(self, slot: AbstractAsyncContextManager[object]) -> None:
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run(slot))

    async def _run(self, slot: AbstractAsyncContextManager[object]) -> None:
        async with slot:
            self.inside.set()
            await self.leave.wait()

    async def finish(self) -> None:
        self.leave.set()
        await self.task


async def everything_ready() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_call_slots_admit_calls_up_to_the_limit() -> None:
    slots = CallSlots(2)
    callers = [Caller(slots.slot()) for _ in range(3)]
    await everything_ready()
    assert [caller.inside.is_set() for caller in callers] == [True, True, False]

    await callers[0].finish()
    await everything_ready()
    assert callers[2].inside.is_set()
    for caller in callers[1:]:
        await caller.finish()


async def test_call_slots_exclusive_waits_for_calls_and_blocks_new_ones() -> None:
    slots = CallSlots(4)
    first = Caller(slots.slot())
    await everything_ready()
    exclusive = Caller(slots.exclusive())
    await everything_ready()
    later = Caller(slots.slot())
    await everything_ready()
    assert (exclusive.inside.is_set(), later.inside.is_set()) == (False, False)

    await first.finish()
    await everything_ready()
    assert (exclusive.inside.is_set(), later.inside.is_set()) == (True, False)

    await exclusive.finish()
    await everything_ready()
    assert later.inside.is_set()
    await later.finish()


async def test_call_slots_exclusive_cancelled_while_waiting_admits_calls_again() -> None:
    slots = CallSlots(2)
    first = Caller(slots.slot())
    await everything_ready()
    exclusive = Caller(slots.exclusive())
    await everything_ready()
    exclusive.task.cancel()
    later = Caller(slots.slot())
    await everything_ready()

    assert later.inside.is_set()
    for caller in (first, later):
        await caller.finish()


async def test_call_slots_exclusive_slot_admits_the_call_of_its_owner() -> None:
    slots = CallSlots(1)
    async with slots.exclusive() as exclusive, exclusive.slot():
        waiting = Caller(slots.slot())
        await everything_ready()
        assert not waiting.inside.is_set()
    await everything_ready()
    assert waiting.inside.is_set()
    await waiting.finish()
