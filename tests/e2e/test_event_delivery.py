"""Events and commands that are duplicated, late or invalid: the outcome of a job is the same."""

import asyncio
import re
from pathlib import Path

import pytest

from promptforge.domain.job import Status
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from tests.fakes.provider import answer_after
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts
from tests.harness.openai_stack import openai_stack

TASK = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "//test", "content-type": "application/json"}


def _without_latency(content: bytes) -> bytes:
    return re.sub(rb'"latency_ms":\d+', b'"latency_ms":0', content)


async def test_event_delivered_three_times_at_once_gives_the_same_files(tmp_path: Path) -> None:
    content = prompts(300) + b"bad line\n" + prompts(1) + prompts(200, first=300)
    outputs = []
    for copies in (1, 3):
        async with in_process_stack(tmp_path / str(copies), chunk_lines=10) as one:
            one.copies = copies
            job_id = await one.run(content)
            outputs.append({name: _without_latency(content) for name, content in (await one.files(job_id)).items()})

    assert outputs[0] == outputs[1]
    assert outputs[0]["results_part_001.jsonl"].count(b"\n") == 500
    assert outputs[0]["errors.jsonl"].count(b"\n") == 2


async def test_event_delivered_twice_causes_one_call_per_prompt(tmp_path: Path) -> None:
    async with openai_stack(tmp_path, answer_after(0.05)) as (one, provider):
        one.copies = 2
        job_id = await one.run(prompts(100), provider="openai")
        results = await one.results(job_id)

    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(100)]
    assert set(provider.call_counts.values()) == {1}
    assert len(provider.call_counts) == 100


async def test_event_after_the_end_of_the_job_changes_nothing(tmp_path: Path) -> None:
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
        ("promptforge.task", b'{"v":2,"job_id":"00000000-0000-4000-8000-000000000000","chunk":0}'),
        ("promptforge.task", b'{"v":1,"job_id":"../x","chunk":0}'),
        ("promptforge.task", b'{"v":1,"job_id":"00000000-0000-4000-8000-000000000000","chunk":0}'),
        ("google.cloud.pubsub.topic.v1.messagePublished", b'{"message":{"data":"%%%"}}'),
        ("google.cloud.pubsub.topic.v1.messagePublished", b'{"message":{}}'),
        ("google.cloud.storage.object.v1.finalized", b'{"name":"somebody/elses.txt"}'),
        ("google.cloud.storage.object.v1.finalized", b'{"name":5}'),
    ],
)
async def test_event_that_is_invalid_is_acknowledged_and_changes_nothing(
    tmp_path: Path, kind: str, body: bytes
) -> None:
    async with in_process_stack(tmp_path) as one:
        before = await _documents(one)
        for function in ("splitter", "worker", "finalizer"):
            assert await one.send(function, {**TASK, "ce-type": kind}, body, 1.0)

        assert await _documents(one) == before


async def test_finalize_run_five_times_at_once_publishes_one_result(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1) as one:
        job_id = await one.submit(prompts(100))
        await split(one.context, job_id)
        for number in range(100):
            body = b'{"v":1,"job_id":"%s","chunk":%d}' % (job_id.encode(), number)
            assert await one.send("worker", {**TASK, "ce-type": "promptforge.task"}, body, 1.0)
        await asyncio.gather(*[finalize(one.context, job_id) for _ in range(5)], return_exceptions=True)

        assert (await one.job(job_id)).status is Status.COMPLETED
        assert [line["prompt_id"] for line in await one.results(job_id)] == [f"id-{n}" for n in range(100)]


async def _documents(one: InProcessStack) -> list[tuple[str, str]]:
    sql = "select path, data from documents order by path"
    return await one.database.read(lambda connection: connection.execute(sql).fetchall())
