"""The limit on concurrent calls of a worker, MAX_IN_FLIGHT."""

from pathlib import Path

from tests.fakes.provider import answer_after
from tests.harness.chunk_scenario import chunk_scenario
from tests.harness.lines import prompts


async def test_concurrency_limit_is_reached_and_never_exceeded(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, max_in_flight=5) as scenario:
        scenario.provider.script = answer_after(0.01)
        await scenario.stack.run(prompts(100), provider="openai")

    assert scenario.provider.max_in_flight == 5


async def test_concurrency_limit_holds_over_concurrent_jobs(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, max_in_flight=3, chunk_lines=5) as scenario:
        scenario.provider.script = answer_after(0.01)
        first = await scenario.stack.submit(prompts(20), provider="openai")
        second = await scenario.stack.run(prompts(20), provider="openai")
        finished = [await scenario.stack.wait_until_finished(job_id) for job_id in (first, second)]

    assert [job.completed_count for job in finished] == [20, 20]
    assert scenario.provider.max_in_flight == 3
