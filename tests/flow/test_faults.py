"""Faults in the middle: lost answers, cancelled steps, a disk that fills up, a hostile input. Each was a bug once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.adapters.local.objects import FileObjects
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.errors import Unavailable
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.ports.documents import Documents, Version, Write
from promptforge.state.chunks import ClaimedChunk, Ledger
from promptforge.state.objects import upload_object
from promptforge.worker.lease import ChunkLease
from promptforge.worker.process_chunk import FAIL_PROMPTS_AFTER_ERRORS, process_chunk


class Forgetful:
    """Documents whose answer to the next commit gets lost on the way: the commit was made all the same."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.lose_next = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        versions = await self._documents.commit(writes)
        if self.lose_next:
            self.lose_next = False
            raise Unavailable("lost on the way")
        return versions


def forgetful(one: InProcessStack) -> Forgetful:
    """Let the machine's ledger talk to forgetful documents."""
    documents = Forgetful(one.app.documents)
    one.app.ledger = Ledger(documents, one.app.clock, one.app.rng)
    return documents


async def hold_of(one: InProcessStack, job_id: str) -> ChunkLease:
    claim = await one.app.chunks.claim(job_id, 0, "holder", 60)
    assert isinstance(claim, ClaimedChunk)
    return ChunkLease(one.app, await one.job(job_id), claim)


async def test_a_settled_chunk_stays_settled_when_the_answer_to_its_commit_is_lost(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        documents = forgetful(one)
        job_id = await one.submit(prompts(1))
        await split(one.app, job_id)
        hold = await hold_of(one, job_id)
        hold.answers.add(1, True, 1, b'{"prompt_id":"id-0","result":"r"}\n')

        async def settle() -> None:
            async with hold:
                documents.lose_next = True
                await hold.settle()

        with pytest.raises(Unavailable):
            await settle()

        (chunk,) = [chunk async for chunk in one.app.chunks.list_all(job_id)]
        assert (chunk.open, chunk.results and chunk.results.lines) == (False, 1)
        assert (await one.until_ended(job_id)).status is Status.COMPLETED


async def test_a_claim_whose_answer_is_lost_is_still_a_claim(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        documents = forgetful(one)
        job_id = await one.submit(prompts(1))
        await split(one.app, job_id)
        documents.lose_next = True
        claim = await one.app.chunks.claim(job_id, 0, "holder", 60)

        assert isinstance(claim, ClaimedChunk)
        assert (claim.chunk.holder, claim.chunk.epoch) == ("holder", 1)


async def test_an_object_whose_writer_was_cancelled_at_the_last_moment_is_whole_or_not_there(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        for number in range(40):
            name = f"object-{number}"
            writing = asyncio.create_task(one.app.work.create(name, b"content"))
            for _ in range(number):
                await asyncio.sleep(0.0005)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await one.app.work.create(name, b"content")

            assert b"".join([block async for block in one.app.work.read(name)]) == b"content"


async def test_a_chunk_that_ends_in_a_fault_each_time_is_given_up_and_the_job_ends(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=2) as one:
        job_id = await one.submit(b"bad line\n" + prompts(1) + b" " * 1000)
        await split(one.app, job_id)
        for _ in range(FAIL_PROMPTS_AFTER_ERRORS):
            hold = await hold_of(one, job_id)
            with pytest.raises(ZeroDivisionError):
                async with hold:
                    raise ZeroDivisionError
        await one.until_ended(job_id)
        errors = await one.errors(job_id)

    assert [(line["prompt_id"], line["error"]) for line in errors] == [(None, "invalid_json"), ("id-0", "worker_fault")]


async def test_large_answers_are_recovered_whatever_the_limit_is_now(tmp_path: Path) -> None:
    clock = HandClock()
    public = b'{"prompt_id":"id-0","result":"%s"}\n' % (b"x" * 50_000)
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(1))
        await split(one.app, job_id)
        hold = await hold_of(one, job_id)
        hold.answers.add(1, True, 1, public)
        await hold.flush()
    clock.move(61)
    async with in_process_stack(tmp_path, clock, max_answer_bytes=1024) as two:
        await two.until_ended(job_id)
        assert (await two.files(job_id))["results_part_001.jsonl"] == public


async def test_a_part_that_vanished_after_it_was_joined_costs_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(1))
        await split(one.app, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        (part,) = [name async for name in one.app.results.list(f"{job_id}/parts/")]
        await one.app.results.compose(f"{job_id}/results_part_001.jsonl", [part])
        await one.app.results.delete(part)

        assert (await one.until_ended(job_id)).status is Status.COMPLETED


async def test_a_full_disk_stops_nothing_for_good(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, flush_count=1) as one:
        job_id = await one.submit(prompts(3))
        await split(one.app, job_id)
        assert isinstance(one.app.results, FileObjects)
        folder = one.app.results.folder
        folder.rename(folder.with_name("away"))
        with pytest.raises(Unavailable):
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        folder.with_name("away").rename(folder)
        ended = await one.until_ended(job_id)

    assert (ended.status, ended.completed_count) == (Status.COMPLETED, 3)


async def test_an_input_that_vanished_fails_the_job_and_keeps_what_was_done(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=5) as one:
        job_id = await one.submit(prompts(20))
        await split(one.app, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        await one.app.uploads.delete(upload_object(job_id))
        ended = await one.until_ended(job_id)
        results, errors = await one.results(job_id), await one.errors(job_id)

    assert (ended.status, ended.error and ended.error.code) == (Status.FAILED, "input_changed")
    assert ended.completed_count == len(results) > 0
    assert ended.failed_count == len(errors) == 20 - len(results)
    assert {line["error"] for line in errors} == {"input_changed"}


async def test_a_lost_segment_costs_its_answers_and_no_line(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(1))
        await split(one.app, job_id)
        hold = await hold_of(one, job_id)
        hold.answers.add(1, True, 1, b'{"prompt_id":"id-0","result":"lost"}\n')
        await hold.flush()
        await one.app.work.delete(hold.chunk.segments[0].name)
        clock.move(61)
        await one.until_ended(job_id)

        assert [line["result"] for line in await one.results(job_id)] == ["prompt 0"]


async def test_settings_may_change_while_a_job_runs(tmp_path: Path) -> None:
    content = prompts(40) + b" " * 300 + b"\n" + b"x" * 300 + b"\n"
    async with in_process_stack(tmp_path, chunk_lines=4, part_lines=10, max_line_bytes=200) as one:
        job_id = await one.submit(content)
        await split(one.app, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
    async with in_process_stack(tmp_path, chunk_lines=3, part_lines=7, max_line_bytes=10_000) as two:
        await two.until_ended(job_id)
        job = await two.job(job_id)
        assert (job.completed_count, job.failed_count, job.result_parts) == (40, 2, 5)
        await two.app.jobs.update(job_id, lambda job: job)
        await finalize(two.app, job_id)


async def test_a_file_of_newlines_is_read_quickly_and_refused(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_lines=1_000_000) as one:
        async with asyncio.timeout(20):
            job_id = await one.run(b"\n" * 4_000_000)
        status = await one.status(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "limit_exceeded")


async def test_an_upload_that_lands_while_the_job_expires_is_not_lost(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        ticket = await one.init()
        job_id = ticket["job_id"]
        await one.put(ticket["upload_url"], prompts(1))
        clock.move(15 * 60 + 3601)
        ended = await one.until_ended(job_id)

    assert ended.status is Status.COMPLETED


async def test_a_part_that_vanished_ends_the_job_with_the_truth(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=2) as one:
        job_id = await one.submit(prompts(20))
        await split(one.app, job_id)
        for chunk in range(3):
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=chunk))
        parts = [name async for name in one.app.results.list(f"{job_id}/parts/")]
        await one.app.results.delete(parts[1])
        ended = await one.until_ended(job_id)
        lost = [chunk async for chunk in one.app.chunks.list_all(job_id)][1].line_count

        assert (ended.status, ended.error and ended.error.code) == (Status.FAILED, "result_incomplete")
        assert len(await one.results(job_id)) == 20 - lost


async def test_what_fenced_workers_wrote_is_removed_with_the_rest(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(3))
        await one.app.work.create(f"{job_id}/00000000/000009-000000", b"from the dead")
        await one.app.results.create(f"{job_id}/parts/00000000-000009.results", b"from the dead")
        await one.until_ended(job_id)
        await finalize(one.app, job_id)

        assert [name async for name in one.app.work.list("")] == []
        assert [name async for name in one.app.results.list(f"{job_id}/parts/")] == []


async def test_a_job_is_summed_up_once_a_second_however_often_it_is_asked_about(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, chunk_lines=1) as one:
        job_id = await one.submit(prompts(4))
        await split(one.app, job_id)
        assert (await one.status(job_id))["completed_count"] == 0
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        assert (await one.status(job_id))["completed_count"] == 0
        clock.move(1)
        assert (await one.status(job_id))["completed_count"] == 1
