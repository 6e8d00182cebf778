"""The prompts of a chunk: read once from the pinned input; lines without a call get their errors at once."""

from pathlib import Path

from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import INPUT_CHANGED
from promptforge.state.objects import upload_object
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.read_prompts import read_prompts
from promptforge.worker.stop_signal import JobStopped
from tests.harness.chunk_scenario import PADDING, add_result, chunk_scenario
from tests.harness.lines import prompts


async def read(run: ChunkRun) -> dict[int, Prompt]:
    assert run.job.input
    return await read_prompts(run, run.job.input)


async def test_read_prompts_keeps_physical_line_numbers_and_fails_invalid_lines(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(b"\n" + prompts(2) + b"  \nbad line\n" + prompts(1) + prompts(1, 7) + PADDING)
        run = await scenario.claim(job_id)
        found = await read(run)
        await run.output.flush()
        chunk = await scenario.chunk(job_id)

    assert found == {2: Prompt("id-0", "prompt 0"), 3: Prompt("id-1", "prompt 1"), 7: Prompt("id-7", "prompt 7")}
    assert (5 in run.output, 6 in run.output, 1 in run.output) == (True, True, False)
    assert (chunk.completed, chunk.failed) == (0, 2)


async def test_read_prompts_skips_lines_that_have_their_answer(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(b"bad line\n" + prompts(3) + PADDING)
        run = await scenario.claim(job_id)
        for line in (1, 3):
            add_result(run, line)

        assert list(await read(run)) == [2, 4]


async def test_read_prompts_with_duplicate_id_names_the_first_line(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(2) + prompts(1) + PADDING)
        await scenario.process(job_id)
        await scenario.stack.wait_until_finished(job_id)
        (error,) = await scenario.stack.errors(job_id)

    assert (error["line"], error["prompt_id"], error["error"]) == (3, "id-0", "duplicate_prompt_id")
    assert "line 1" in error["message"]


async def test_read_prompts_without_its_input_stops_the_job_and_fails_every_line(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        run = await scenario.claim(job_id)
        add_result(run, 2)
        await scenario.stack.context.uploads.delete(upload_object(job_id))

        assert await read(run) == {}
        assert run.output.is_complete
        assert run.stop.reason == JobStopped(INPUT_CHANGED)
        assert (await scenario.stack.job(job_id)).stop_reason == INPUT_CHANGED
