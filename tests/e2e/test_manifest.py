"""manifest.json: it lists input and output, its bytes are reproducible, and a wrong line count is never COMPLETED."""

import asyncio
from pathlib import Path

import orjson
import pytest

from promptforge.domain.chunk import ChunkCounts, ChunkPart
from promptforge.domain.commands import ProcessChunk
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.state.chunks import ClaimedChunk
from promptforge.state.objects import chunk_part_object
from promptforge.worker.process_chunk import process_chunk
from tests.harness.clock import ManualClock
from tests.harness.finished_job import crc32c, download_finished_job, download_manifest, file_entry
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

CONTENT = (
    b"\xef\xbb\xbf" + prompts(30).replace(b"\n", b"\r\n") + b"\nbad\n" + prompts(1) + prompts(5, first=30).rstrip()
)


def test_crc32c_matches_check_value() -> None:
    assert crc32c(b"123456789") == "4waSgw=="  # 0xe3069283, the published check value of CRC-32C


async def test_manifest_lists_input_and_output(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path / "data", chunk_lines=3, part_lines=10, max_line_bytes=5000) as one:
        job_id = await one.run(CONTENT, model="echo-7")
        finished = await download_finished_job(one, job_id, CONTENT, tmp_path)
        upload = await one.context.uploads.stat(f"{job_id}/input.jsonl")
        reply = (await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)).json()

    assert upload is not None
    assert len(finished.parts()) == 4
    assert finished.manifest() == {
        "version": 1,
        "job_id": job_id,
        "provider": "echo",
        "model": "echo-7",
        "provider_url": None,
        "endpoint": None,
        "input": {
            "name": f"{job_id}/input.jsonl",
            "generation": upload.generation,
            "size": len(CONTENT),
            "crc32c": crc32c(CONTENT),
            "max_line_bytes": 5000,
        },
        "prompt_count": 37,
        "completed_count": 35,
        "failed_count": 2,
        "files": [file_entry(path) for path in (*finished.parts(), finished.folder / "errors.jsonl")],
    }
    assert [file["filename"] for file in reply["files"]] == [file["filename"] for file in finished.manifest()["files"]]
    assert reply["manifest"]["filename"] == "manifest.json"
    assert set(reply["manifest"]) == {"filename", "url", "expires_at"}


async def test_manifest_exists_for_cancelled_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path / "data") as one:
        job_id = await one.submit(prompts(5))
        await split(one.context, job_id)
        await one.cancel(job_id)
        await one.wait_until_finished(job_id)
        finished = await download_finished_job(one, job_id, prompts(5), tmp_path)

    manifest = finished.manifest()
    assert (manifest["prompt_count"], manifest["completed_count"], manifest["failed_count"]) == (5, 0, 5)
    assert manifest["files"] == [file_entry(finished.folder / "errors.jsonl")]


async def test_manifest_is_the_same_after_concurrent_and_repeated_finalize(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, chunk_lines=1, part_lines=10) as one:
        job_id = await one.submit(CONTENT)
        await split(one.context, job_id)
        job = await one.job(job_id)
        for number in range(job.chunk_count or 0):
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=number))
        before = await one.job(job_id)
        await asyncio.gather(*[finalize(one.context, job_id) for _ in range(5)])
        first = await download_manifest(one, job_id)
        clock.advance(1000)
        await one.context.jobs.update(job_id, lambda job: before)  # as if the last commit was lost
        await finalize(one.context, job_id)

        assert await download_manifest(one, job_id) == first
        assert orjson.loads(first)["completed_count"] == 35


async def _complete_wrongly(one: InProcessStack, job_id: str, number: int, publics: list[bytes]) -> None:
    """Complete a chunk as a faulty worker would: with malformed lines, or with too few."""
    claim = await one.context.chunks.claim(job_id, number, "faulty", 60)
    assert isinstance(claim, ClaimedChunk)
    name = chunk_part_object(job_id, number, claim.chunk.epoch, "results")
    await one.context.results.create(name, b"".join(publics))
    part, counts = ChunkPart(name=name, lines=len(publics)), ChunkCounts(completed=len(publics), tokens=len(publics))
    await one.context.chunks.update(claim, claim.chunk.completed_with(part, None, counts))


@pytest.mark.parametrize(
    "publics",
    [
        pytest.param([b'{"prompt_id":"id-0"}\n', b""], id="a line is missing"),
        pytest.param([b'{"prompt_id":"id-0"}\n', b'{"prompt_id":"id-1"}\n\n'], id="a line too many"),
        pytest.param([b'{"prompt_id":"id-0"}\n'], id="an answer is missing"),
        pytest.param([b'{"prompt_id":"id-0"}\n'] * 3, id="an answer too many"),
    ],
)
async def test_finalize_wrong_line_count_ends_failed(tmp_path: Path, publics: list[bytes]) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(2) + b" " * 9000)
        await split(one.context, job_id)
        await _complete_wrongly(one, job_id, 0, publics)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        ended = await one.wait_until_finished(job_id)
        files = await one.files(job_id)
        manifest = orjson.loads(await download_manifest(one, job_id))

    assert (ended.status.value, ended.error and ended.error.code) == ("FAILED", "result_incomplete")
    assert ended.completed_count + ended.failed_count == ended.prompt_count == 2
    assert 0 <= ended.completed_count <= 2
    assert [file["lines"] for file in manifest["files"]] == [content.count(b"\n") for content in files.values()]


async def test_finalize_missing_line_is_not_offset_by_extra_line_elsewhere(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1, part_lines=1) as one:
        job_id = await one.submit(prompts(2))
        await split(one.context, job_id)
        await _complete_wrongly(one, job_id, 0, [b'{"prompt_id":"id-0"}\n{"prompt_id":"id-0"}\n'])
        await _complete_wrongly(one, job_id, 1, [b""])
        ended = await one.wait_until_finished(job_id)

    assert (ended.status.value, ended.error and ended.error.code) == ("FAILED", "result_incomplete")
