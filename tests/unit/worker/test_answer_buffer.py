"""The answers of a chunk: counted, written as segments, recovered from them, and read in input order."""

from pathlib import Path

import orjson
import pytest
from aiohttp import web

from promptforge.domain.chunk import ChunkCounts, Segment
from promptforge.worker import answer_buffer
from promptforge.worker.answer_buffer import AnswerBuffer
from tests.harness.chunk_scenario import LEASE_SECONDS, add_result, chunk_scenario
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts


async def flushed(stack: InProcessStack, buffer: AnswerBuffer, name: str) -> Segment:
    """Write the buffer's next segment."""
    lines, content = buffer.segment()
    info = await stack.context.work.create(name, content)
    buffer.mark_flushed(name, lines)
    return Segment(name=name, size=info.size)


async def in_order(buffer: AnswerBuffer, ok: bool) -> bytes:
    return b"".join([block async for block in buffer.in_order(ok)])


def filled(stack: InProcessStack) -> AnswerBuffer:
    """Return a buffer with three results and two errors, added in no order."""
    buffer = AnswerBuffer(stack.context.work)
    buffer.add(9, True, 30, b"nine\n", 3)
    buffer.add(2, False, 0, b"two\n")
    buffer.add(4, True, 10, b"four\n", 1)
    buffer.add(1, True, 5, b"one 1\n", 2)
    buffer.add(7, False, 0, b"seven\n")
    return buffer


async def test_answer_buffer_second_answer_of_a_line_raises(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        buffer = filled(stack)
        with pytest.raises(ValueError, match="line 9"):
            buffer.add(9, False, 0, b"again\n")

        assert (len(buffer), 9 in buffer, 3 in buffer) == (5, True, False)


async def test_answer_buffer_counts_and_orders_by_kind(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        buffer = filled(stack)

        assert buffer.counts == ChunkCounts(completed=3, failed=2, tokens=45, output_tokens=6)
        assert await in_order(buffer, ok=True) == b"one 1\nfour\nnine\n"
        assert await in_order(buffer, ok=False) == b"two\nseven\n"


async def test_answer_buffer_recovers_what_was_flushed(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        buffer = filled(stack)
        first = await flushed(stack, buffer, "a")
        buffer.add(3, True, 1, b"three\n")
        assert (buffer.unflushed, buffer.unflushed_bytes) == (1, 6)
        second = await flushed(stack, buffer, "b")
        assert (buffer.unflushed, buffer.unflushed_bytes) == (0, 0)
        buffer.add(5, True, 1, b"never flushed\n")
        recovered = AnswerBuffer(stack.context.work)
        await recovered.recover([first, second])

        assert recovered.counts == ChunkCounts(completed=4, failed=2, tokens=46, output_tokens=6)
        assert recovered.unflushed == 0
        assert await in_order(recovered, ok=True) == b"one 1\nthree\nfour\nnine\n"
        assert await in_order(recovered, ok=False) == b"two\nseven\n"


async def test_answer_buffer_over_its_memory_limit_reads_flushed_answers_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_buffer, "MAX_BUFFERED_BYTES", 10)
    async with in_process_stack(tmp_path) as stack:
        buffer = filled(stack)
        segment = await flushed(stack, buffer, "a")
        recovered = AnswerBuffer(stack.context.work)
        await recovered.recover([segment])

        for each in (buffer, recovered):
            assert await in_order(each, ok=True) == b"one 1\nfour\nnine\n"
            assert await in_order(each, ok=False) == b"two\nseven\n"
            assert each.counts == ChunkCounts(completed=3, failed=2, tokens=45, output_tokens=6)


async def test_answer_buffer_recovers_answers_larger_than_the_present_limit(tmp_path: Path) -> None:
    clock = ManualClock()
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1), provider="echo", model="echo-1")
        run = await scenario.claim(job_id)
        add_result(run, 1, "x" * 50_000)
        await run.output.flush()
    clock.advance(LEASE_SECONDS + 1)
    async with in_process_stack(tmp_path, clock, max_answer_bytes=1024) as later:
        (chunk,) = [chunk async for chunk in later.context.chunks.list_all(job_id)]
        await later.context.queues.publish_chunks(job_id, [0])
        await later.wait_until_finished(job_id)
        files = await later.files(job_id)

    public = {"prompt_id": "id-0", "result": "x" * 50_000, "tokens_used": 3, "usage": {"output_tokens": 1}}
    assert chunk.completed == 1
    assert files["results_part_001.jsonl"] == orjson.dumps(public) + b"\n"


async def test_answer_buffer_with_lost_segment_answers_its_lines_again(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        run = await scenario.claim(job_id)
        add_result(run, 1, "lost")
        await run.output.flush()
        await scenario.stack.context.work.delete(run.lease.chunk.segments[0].name)
        scenario.clock.advance(LEASE_SECONDS + 1)
        await scenario.process(job_id)
        await scenario.stack.wait_until_finished(job_id)

        assert [line["result"] for line in await scenario.stack.results(job_id)] == ["PROMPT 0"]


async def test_answer_buffer_of_a_large_job_publishes_every_answer_in_order(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        text = f"{prompt} " + "x" * 1_500_000
        return web.json_response({"choices": [{"message": {"content": text}}], "usage": {}})

    async with chunk_scenario(tmp_path, chunk_lines=40, flush_count=2) as scenario:
        scenario.provider.script = act
        content = b"".join(b'{"prompt_id": "%d", "prompt": "p%d%s"}\n' % (n, n, b" " * 3000) for n in range(640))
        job_id = await scenario.stack.run(content[: 60 * 3040], provider="openai")
        results = await scenario.stack.results(job_id)

    assert [line["prompt_id"] for line in results] == [str(number) for number in range(len(results))]
    assert all(line["result"].startswith(f"p{line['prompt_id']} ") for line in results)
