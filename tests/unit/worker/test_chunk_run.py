"""One processing of a chunk: its work runs beside the background tasks, and the first error ends them all."""

import asyncio
from pathlib import Path

import pytest

from promptforge.errors import LeaseLost
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, add_result, chunk_scenario
from tests.harness.lines import prompts


async def test_chunk_run_with_lost_lease_cancels_the_work_and_raises_lease_lost(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, heartbeat_seconds=0.01) as scenario:
        job_id = await scenario.submit(prompts(1))
        run = await scenario.claim(job_id)
        ended: list[str] = []

        async def work() -> None:
            scenario.clock.advance(LEASE_SECONDS + 1)
            await scenario.claim(job_id)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        async with asyncio.timeout(20):
            with pytest.raises(LeaseLost):
                await run.beside_background_tasks(work())

        assert ended == ["cancelled"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_chunk_run_raises_the_error_of_its_work_by_itself(tmp_path: Path, error: BaseException) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        run = await scenario.claim(await scenario.submit(prompts(1)))

        async def work() -> None:
            raise error

        try:
            await run.beside_background_tasks(work())
        except BaseException as exc:
            assert exc is error  # noqa: PT017 - KeyboardInterrupt must not end the test run
        else:
            pytest.fail("the error was lost")


async def test_chunk_run_ends_its_background_tasks_with_the_work(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        run = await scenario.claim(await scenario.submit(prompts(1)))
        before = asyncio.all_tasks()

        async def work() -> None:
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks() - before) >= 4

        await run.beside_background_tasks(work())

        assert asyncio.all_tasks() == before


async def test_chunk_run_flushes_regularly_beside_its_work(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, flush_seconds=0.01) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)

        async def work() -> None:
            add_result(run, 1)
            async with asyncio.timeout(20):
                while not (await scenario.chunk(job_id)).completed:
                    await asyncio.sleep(0.001)
            run.attempts.add_cost(5)  # a cost without an answer
            async with asyncio.timeout(20):
                while (await scenario.chunk(job_id)).cost_nanos != 5:
                    await asyncio.sleep(0.001)

        await run.beside_background_tasks(work())

        assert (await scenario.chunk(job_id)).completed == 1
