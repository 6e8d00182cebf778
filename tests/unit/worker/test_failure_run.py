"""A run of failures: when it has a common cause, and how long a prompt waits to know it."""

import asyncio

from promptforge.worker.failure_run import COMMON_CAUSE_PROMPTS, FailureRun


def run_of(prompts: int) -> FailureRun:
    """Return a run of failures of this number of prompts."""
    run = FailureRun()
    for line in range(prompts):
        run.add(("job", line))
    return run


def test_failure_run_of_enough_prompts_has_a_common_cause() -> None:
    assert not run_of(COMMON_CAUSE_PROMPTS - 1).common_cause
    assert run_of(COMMON_CAUSE_PROMPTS).common_cause


def test_failure_run_of_one_prompt_has_no_common_cause() -> None:
    run = FailureRun()
    for _ in range(10 * COMMON_CAUSE_PROMPTS):
        run.add(("job", 1))

    assert not run.common_cause


async def test_failure_run_wait_ends_with_the_common_cause() -> None:
    run = run_of(COMMON_CAUSE_PROMPTS - 1)
    waiting = asyncio.create_task(run.has_common_cause(60.0, asyncio.Event()))
    await asyncio.sleep(0)
    assert not waiting.done()
    run.add(("job", 99))

    assert await asyncio.wait_for(waiting, 20)


async def test_failure_run_wait_ends_with_a_success() -> None:
    run = run_of(1)
    waiting = asyncio.create_task(run.has_common_cause(60.0, asyncio.Event()))
    await asyncio.sleep(0)
    assert not waiting.done()
    run.end()

    assert not await asyncio.wait_for(waiting, 20)


async def test_failure_run_wait_ends_when_it_is_stopped() -> None:
    run, stopped = run_of(1), asyncio.Event()
    waiting = asyncio.create_task(run.has_common_cause(60.0, stopped))
    await asyncio.sleep(0)
    assert not waiting.done()
    stopped.set()

    assert not await asyncio.wait_for(waiting, 20)


async def test_failure_run_wait_without_a_decision_ends_after_its_time() -> None:
    assert not await run_of(1).has_common_cause(0.0, asyncio.Event())


async def test_failure_run_wait_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    await run_of(1).has_common_cause(0.0, asyncio.Event())
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == before
