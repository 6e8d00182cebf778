"""The processing of one chunk: claimed, answered, and completed, released or abandoned."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import JobError, Status
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS
from promptforge.errors import Unavailable
from promptforge.ports.documents import Update, Write
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES, WORKER_CRASH
from promptforge.worker.process_chunk import (
    ABANDON_AFTER_CRASHES,
    ABANDON_AFTER_ERRORS,
    FAIL_PROMPTS_AFTER_ERRORS,
    WORKER_FAULT,
)
from tests.fakes.faulty_documents import LostReplies
from tests.fakes.faulty_objects import FailingReads
from tests.fakes.provider import answer_after, openai_error
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, RUN_ERRORS, ChunkScenario, add_result, chunk_scenario
from tests.harness.context import replaced_adapters
from tests.harness.lines import prompts
from tests.harness.queue_entries import QueueEntry, queue_entries


async def error_lines(scenario: ChunkScenario, job_id: str) -> list[tuple[int, str | None, str, str, int]]:
    """Return the error lines of the job once it has finished."""
    await scenario.stack.wait_until_finished(job_id)
    names = ("line", "prompt_id", "error", "message", "attempts")
    return [tuple(line[name] for name in names) for line in await scenario.stack.errors(job_id)]


async def test_process_chunk_fails_prompts_after_ten_errors_and_not_before(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path / "one") as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        await scenario.rewrite_chunk(job_id, error_count=FAIL_PROMPTS_AFTER_ERRORS - 1)
        await scenario.process(job_id)
        assert (await scenario.chunk(job_id)).completed == 3
    async with chunk_scenario(tmp_path / "two") as scenario:
        job_id = await scenario.submit(b"\n" + prompts(2) + b"bad\n" + PADDING)
        await scenario.rewrite_chunk(job_id, error_count=FAIL_PROMPTS_AFTER_ERRORS, attempt_failures={3: 2})
        await scenario.process(job_id)
        errors = await error_lines(scenario, job_id)

    fault = (WORKER_FAULT.code, WORKER_FAULT.message)
    assert errors[:2] == [(2, "id-0", *fault, 0), (3, "id-1", *fault, 2)]
    assert errors[2][2] == "invalid_json"
    assert WORKER_FAULT.message == "Internal error: processing failed 10 times."
    assert scenario.provider.call_counts.total() == 0


@pytest.mark.parametrize(
    ("past", "error"),
    [({"error_count": ABANDON_AFTER_ERRORS}, WORKER_FAULT), ({"crash_count": ABANDON_AFTER_CRASHES}, WORKER_CRASH)],
)
async def test_process_chunk_abandons_without_reading_only_at_its_limit(
    tmp_path: Path, past: dict[str, int], error: JobError
) -> None:
    ids = {}
    for early in (1, 0):
        async with chunk_scenario(tmp_path / str(early)) as scenario:
            job_id = await scenario.submit(prompts(3) + PADDING)
            counts = {name: count - early for name, count in past.items()}
            isolated = {"isolated_line": 1, "isolated_crash_count": MAX_ISOLATED_CRASHES}
            await scenario.rewrite_chunk(job_id, **counts, **isolated)
            await scenario.process(job_id)
            errors = await error_lines(scenario, job_id)
            ids[early] = {line[1] for line in errors}
            assert {line[2:4] for line in errors} == {(error.code, error.message)}

    assert None not in ids[1]  # the input was read, so the prompt ids are known
    assert ids[0] == {None}


@pytest.mark.parametrize(("error", "error_count"), RUN_ERRORS)
async def test_process_chunk_after_an_error_flushes_releases_and_raises(
    tmp_path: Path, error: BaseException, error_count: int
) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(b"bad line\n" + prompts(3) + PADDING)
        scenario.clock.advance(5)
        async with replaced_adapters(scenario.stack, uploads=FailingReads(scenario.stack.context.uploads, error)):
            try:
                await scenario.process(job_id)
            except BaseException as exc:
                assert exc is error  # noqa: PT017 - KeyboardInterrupt must not end the test run
            else:
                pytest.fail("the error was lost")
        chunk = await scenario.chunk(job_id)

        assert (chunk.holder, chunk.due_at, chunk.error_count) == (None, scenario.clock.time, error_count)
        assert chunk.failed == 1  # the error of the invalid line
        assert (await scenario.claim(job_id)).lease.chunk.epoch == 2


async def test_process_chunk_with_an_error_each_time_ends_with_error_lines(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(b"bad line\n" + prompts(1) + PADDING)
        uploads = FailingReads(scenario.stack.context.uploads, ZeroDivisionError())
        async with replaced_adapters(scenario.stack, uploads=uploads):
            for _ in range(FAIL_PROMPTS_AFTER_ERRORS):
                with pytest.raises(ZeroDivisionError):
                    await scenario.process(job_id)
        await scenario.process(job_id)
        errors = await error_lines(scenario, job_id)

    assert [error[1:3] for error in errors] == [(None, "invalid_json"), ("id-0", "worker_fault")]


async def test_process_chunk_with_last_answer_during_shutdown_completes(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1) + PADDING)

        async def act(prompt: str, call: int) -> None:
            scenario.stack.context.stopping.set()

        scenario.provider.script = act
        await scenario.process(job_id)
        chunk = await scenario.chunk(job_id)

    assert (chunk.open, chunk.completed, chunk.epoch) == (False, 1, 1)


async def test_process_chunk_at_shutdown_waits_for_calls_and_releases_to_the_next_worker(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, max_in_flight=3) as scenario:
        scenario.provider.script = answer_after(0.2)
        job_id = await scenario.submit(prompts(10) + PADDING)
        processing = asyncio.create_task(scenario.process(job_id))
        while scenario.provider.in_flight < 3:
            await asyncio.sleep(0.005)
        scenario.stack.context.stopping.set()
        await processing
        calls_at_shutdown = scenario.provider.call_counts.total()
        scenario.stack.context.stopping.clear()
        finished = await scenario.stack.wait_until_finished(job_id)

    assert calls_at_shutdown == 1 + 3  # the probe runs alone
    assert (finished.status, finished.completed_count) == (Status.COMPLETED, 10)
    assert set(scenario.provider.call_counts.values()) == {1}


async def test_process_chunk_of_a_later_holder_calls_no_answered_prompt_again(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(5) + PADDING)
        crashed = await scenario.claim(job_id)
        add_result(crashed, 2, "paid before", tokens=9)
        crashed.output.add_error(1, Prompt("id-0", "prompt 0"), "failed_before", "Failed before.")
        await crashed.output.flush()
        scenario.clock.advance(LEASE_SECONDS + 1)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)
        results = await scenario.stack.results(job_id)

        assert [line["prompt_id"] for line in results] == ["id-1", "id-2", "id-3", "id-4"]
        assert results[0]["result"] == "paid before"
        assert (await scenario.stack.errors(job_id))[0]["error"] == "failed_before"
        assert sorted(scenario.provider.call_counts.elements()) == ["prompt 2", "prompt 3", "prompt 4"]
        assert (finished.completed_count, finished.failed_count, finished.tokens_used) == (4, 1, 9 + 3 * 12)


async def test_process_chunk_counts_attempts_of_an_earlier_holder(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(2) + PADDING, max_retries=2)

        async def act(prompt: str, call: int) -> web.Response | None:
            return openai_error(500) if prompt == "prompt 1" else None

        scenario.provider.script = act
        await scenario.rewrite_chunk(job_id, attempt_failures={2: 2})
        await scenario.process(job_id)
        errors = await error_lines(scenario, job_id)

    assert [(error[0], error[2], error[4]) for error in errors] == [(2, "provider_error", 3)]
    assert scenario.provider.call_counts == {"prompt 0": 1, "prompt 1": 1}


async def test_process_chunk_leased_to_another_schedules_a_task_for_the_end_of_the_lease(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        leased = await scenario.claim(job_id)
        await scenario.process(job_id)

        tasks = await queue_entries(scenario.stack, "queue:worker")
        command, end = ProcessChunk(job_id=job_id, chunk=0).encode(), leased.lease.chunk.due_at + CLOCK_SKEW_SECONDS
        assert tasks == [QueueEntry("queue:worker", command, end)]
        scenario.clock.advance(LEASE_SECONDS + CLOCK_SKEW_SECONDS)
        assert (await scenario.stack.wait_until_finished(job_id)).status is Status.COMPLETED


async def test_process_chunk_of_an_unknown_or_finished_job_changes_nothing(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        unsplit: str = (await scenario.stack.init())["job_id"]
        for unknown, number in (("00000000-0000-4000-8000-000000000000", 0), (unsplit, 0), (job_id, 7)):
            await scenario.process(unknown, number)
        await scenario.process(job_id)
        finished, chunk = await scenario.stack.wait_until_finished(job_id), await scenario.chunk(job_id)
        await scenario.process(job_id)

        assert (await scenario.stack.job(job_id), await scenario.chunk(job_id)) == (finished, chunk)
        assert finished.completed_count == 3


async def test_process_chunk_of_a_complete_chunk_requests_the_lost_finalization(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        await scenario.process(job_id)
        await scenario.stack.drop_messages("queue:finalizer")
        await scenario.stack.database.write(lambda connection: connection.execute("delete from task_names"))
        await scenario.process(job_id)

        assert (await scenario.stack.wait_until_finished(job_id)).status is Status.COMPLETED


async def test_process_chunk_whose_completion_lost_its_reply_stays_complete(tmp_path: Path) -> None:
    def completes(writes: Sequence[Write]) -> bool:
        return any(
            isinstance(write, Update) and "/chunks/" in write.path and not write.data["open"] for write in writes
        )

    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        documents = LostReplies(scenario.stack.context.documents)
        documents.lose_next = completes
        async with replaced_adapters(scenario.stack, documents=documents):
            with pytest.raises(Unavailable):
                await scenario.process(job_id)
            chunk = await scenario.chunk(job_id)
            await scenario.process(job_id)

        assert (chunk.open, chunk.results and chunk.results.lines) == (False, 1)
        assert chunk == await scenario.chunk(job_id)
        assert (await scenario.stack.wait_until_finished(job_id)).status is Status.COMPLETED


async def claim_elsewhere(scenario: ChunkScenario, job_id: str) -> ClaimedChunk:
    """Let the lease expire and claim the chunk; a holder that renewed its lease in between keeps it once more."""
    while True:
        scenario.clock.advance(LEASE_SECONDS + 1)
        claim = await scenario.stack.context.chunks.claim(job_id, 0, "elsewhere", LEASE_SECONDS)
        if isinstance(claim, ClaimedChunk):
            return claim


async def test_process_chunk_with_lost_lease_starts_no_call(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_in_flight": 2, "flush_count": 1}
    async with chunk_scenario(tmp_path, **settings) as scenario:
        provider = scenario.provider
        provider.script = answer_after(0.05)
        job_id = await scenario.submit(prompts(20) + PADDING)
        processing = asyncio.create_task(scenario.process(job_id))
        while provider.call_counts.total() < 4:
            await asyncio.sleep(0.005)
        new = await claim_elsewhere(scenario, job_id)
        at_the_loss = provider.call_counts.total()
        await processing
        when_it_ended = provider.call_counts.total()
        await asyncio.sleep(0.2)

        assert provider.call_counts.total() == when_it_ended <= at_the_loss + 2
        assert await scenario.chunk(job_id) == new.chunk
