"""Every step may run again, late, twice at once, or in another order, and the outcome is the same."""

import asyncio
import itertools
import re
from pathlib import Path

import pytest
from tests.fakes.openai_server import openai_server, slow
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.job import Status
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep

TASK = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "//test", "content-type": "application/json"}


def _timeless(content: bytes) -> bytes:
    return re.sub(rb'"latency_ms":\d+', b'"latency_ms":0', content)


async def test_each_delivery_made_three_times_at_once_changes_nothing(tmp_path: Path) -> None:
    content = prompts(300) + b"bad line\n" + prompts(1) + prompts(200, first=300)
    outputs = []
    for copies in (1, 3):
        async with in_process_stack(tmp_path / str(copies), chunk_lines=10) as one:
            one.copies = copies
            job_id = await one.run(content)
            outputs.append({name: _timeless(content) for name, content in (await one.files(job_id)).items()})

    assert outputs[0] == outputs[1]
    assert outputs[0]["results_part_000.jsonl"].count(b"\n") == 500
    assert outputs[0]["errors.jsonl"].count(b"\n") == 2


async def test_duplicate_deliveries_pay_for_no_prompt_twice(tmp_path: Path) -> None:
    async with (
        openai_server(slow(0.05)) as provider,
        in_process_stack(tmp_path, provider_keys={"openai": "k"}, provider_urls={"openai": provider.url}) as one,
    ):
        one.copies = 2
        job_id = await one.run(prompts(100), provider="openai")
        results = await one.results(job_id)

    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(100)]
    assert set(provider.calls.values()) == {1}
    assert len(provider.calls) == 100


async def test_deliveries_after_the_end_change_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=5) as one:
        job_id = await one.run(prompts(30))
        job, files = await one.job(job_id), await one.files(job_id)

        for function in ("splitter", "finalizer", "sweeper"):
            body = b'{"v":1,"job_id":"%s"}' % job_id.encode()
            assert await one.send(function, {**TASK, "ce-type": "promptforge.task"}, body, 1.0)
        for chunk in range(8):
            body = b'{"v":1,"job_id":"%s","chunk":%d}' % (job_id.encode(), chunk)
            assert await one.send("worker", {**TASK, "ce-type": "promptforge.task"}, body, 1.0)

        assert (await one.job(job_id), await one.files(job_id)) == (job, files)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("promptforge.task", b"{}"),
        ("promptforge.task", b"[]"),
        ("promptforge.task", b"not json at all"),
        ("promptforge.task", b'{"v":2,"job_id":"job_00000000000000000000000000000000","chunk":0}'),
        ("promptforge.task", b'{"v":1,"job_id":"../x","chunk":0}'),
        ("promptforge.task", b'{"v":1,"job_id":"job_00000000000000000000000000000000","chunk":0}'),
        ("google.cloud.pubsub.topic.v1.messagePublished", b'{"message":{"data":"%%%"}}'),
        ("google.cloud.pubsub.topic.v1.messagePublished", b'{"message":{}}'),
        ("google.cloud.storage.object.v1.finalized", b'{"name":"somebody/elses.txt"}'),
        ("google.cloud.storage.object.v1.finalized", b'{"name":5}'),
    ],
)
async def test_an_event_that_makes_no_sense_is_acknowledged_and_does_nothing(
    tmp_path: Path, kind: str, body: bytes
) -> None:
    async with in_process_stack(tmp_path) as one:
        before = await _documents(one)
        for function in ("splitter", "worker", "finalizer"):
            assert await one.send(function, {**TASK, "ce-type": kind}, body, 1.0)

        assert await _documents(one) == before


async def test_two_splitters_at_once_cut_alike(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=3) as one:
        job_id = await one.submit(prompts(400))
        await asyncio.gather(*[split(one.app, job_id) for _ in range(4)])
        job = await one.job(job_id)
        chunks = [chunk async for chunk in one.app.chunks.list_all(job_id)]

        assert job.status is Status.PROCESSING
        assert [chunk.number for chunk in chunks] == list(range(job.chunk_count or 0))
        assert sum(chunk.line_count for chunk in chunks) == 400
        assert all(left.end == right.start for left, right in itertools.pairwise(chunks))


async def test_a_splitter_that_died_half_way_is_taken_up_by_the_next(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1) as one:
        job_id = await one.submit(prompts(350))
        first = asyncio.create_task(split(one.app, job_id))
        while not [chunk async for chunk in one.app.chunks.list_all(job_id)]:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await one.until_ended(job_id)

        assert [line["prompt_id"] for line in await one.results(job_id)] == [f"id-{n}" for n in range(350)]


async def test_many_finalizers_at_once_publish_one_result(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1) as one:
        job_id = await one.submit(prompts(100))
        await split(one.app, job_id)
        for number in range(100):
            body = b'{"v":1,"job_id":"%s","chunk":%d}' % (job_id.encode(), number)
            assert await one.send("worker", {**TASK, "ce-type": "promptforge.task"}, body, 1.0)
        await asyncio.gather(*[finalize(one.app, job_id) for _ in range(5)], return_exceptions=True)

        assert (await one.job(job_id)).status is Status.COMPLETED
        assert [line["prompt_id"] for line in await one.results(job_id)] == [f"id-{n}" for n in range(100)]


async def test_a_lost_upload_event_and_lost_chunk_messages_are_found_by_the_sweeper(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, chunk_lines=2) as one:
        job_id = await one.submit(prompts(40))
        await one.lose("bucket:uploads")
        clock.move(301)
        await sweep(one.app)
        await split(one.app, job_id)
        await one.lose("topic:chunks")
        clock.move(3700)
        await sweep(one.app)
        ended = await one.until_ended(job_id)

        assert (ended.status, ended.completed_count) == (Status.COMPLETED, 40)


async def test_a_lost_finish_task_is_found_by_the_sweeper(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(1))
        await split(one.app, job_id)
        body = b'{"v":1,"job_id":"%s","chunk":0}' % job_id.encode()
        assert await one.send("worker", {**TASK, "ce-type": "promptforge.task"}, body, 1.0)
        await one.lose("queue:finalizer")
        clock.move(61)
        await sweep(one.app)

        assert (await one.until_ended(job_id)).status is Status.COMPLETED


async def _documents(one: InProcessStack) -> list[tuple[str, str]]:
    sql = "select path, data from documents order by path"
    return await one.database.read(lambda connection: connection.execute(sql).fetchall())
