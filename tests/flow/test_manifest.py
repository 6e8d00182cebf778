"""manifest.json: what was read and what was written, always the same bytes, and never of a job that does not add up."""

import asyncio
from pathlib import Path

import orjson
import pytest
from tests.harness.clock import HandClock
from tests.harness.finished_job import crc32c, described, download_finished_job, download_manifest
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.commands import ProcessChunk
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.lease import ChunkLease
from promptforge.worker.process_chunk import process_chunk

CONTENT = (
    b"\xef\xbb\xbf" + prompts(30).replace(b"\n", b"\r\n") + b"\nbad\n" + prompts(1) + prompts(5, first=30).rstrip()
)


def test_the_checksum_of_these_tests_is_castagnolis() -> None:
    assert crc32c(b"123456789") == "4waSgw=="  # 0xe3069283, the check value of its catalogue


async def test_a_manifest_says_exactly_what_was_read_and_written(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path / "data", chunk_lines=3, part_lines=10, max_line_bytes=5000) as one:
        job_id = await one.run(CONTENT, model="echo-7")
        bundle = await download_finished_job(one, job_id, CONTENT, tmp_path)
        upload = await one.app.uploads.stat(f"{job_id}/input.jsonl")
        reply = (await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)).json()

    assert upload is not None
    assert len(bundle.parts()) == 4
    assert bundle.manifest() == {
        "version": 1,
        "job_id": job_id,
        "provider": "echo",
        "model": "echo-7",
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
        "files": [described(path) for path in (*bundle.parts(), bundle.folder / "errors.jsonl")],
    }
    assert [file["filename"] for file in reply["files"]] == [file["filename"] for file in bundle.manifest()["files"]]
    assert reply["manifest"]["filename"] == "manifest.json"
    assert set(reply["manifest"]) == {"filename", "url", "expires_at"}


async def test_a_job_that_was_cancelled_has_a_manifest_too(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path / "data") as one:
        job_id = await one.submit(prompts(5))
        await split(one.app, job_id)
        await one.cancel(job_id)
        await one.until_ended(job_id)
        bundle = await download_finished_job(one, job_id, prompts(5), tmp_path)

    manifest = bundle.manifest()
    assert (manifest["prompt_count"], manifest["completed_count"], manifest["failed_count"]) == (5, 0, 5)
    assert manifest["files"] == [described(bundle.folder / "errors.jsonl")]


async def test_many_finalizers_at_once_and_again_later_write_one_manifest(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, chunk_lines=1, part_lines=10) as one:
        job_id = await one.submit(CONTENT)
        await split(one.app, job_id)
        job = await one.job(job_id)
        for number in range(job.chunk_count or 0):
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=number))
        before = await one.job(job_id)
        await asyncio.gather(*[finalize(one.app, job_id) for _ in range(5)])
        first = await download_manifest(one, job_id)
        clock.move(1000)
        await one.app.jobs.update(job_id, lambda job: before)  # as if the last commit had not come through
        await finalize(one.app, job_id)

        assert await download_manifest(one, job_id) == first
        assert orjson.loads(first)["completed_count"] == 35


async def _settle_wrongly(one: InProcessStack, job_id: str, number: int, publics: list[bytes]) -> None:
    """What a worker with a fault would do: settle a chunk with lines that are none, or too few of them."""
    claim = await one.app.chunks.claim(job_id, number, "faulty", 60)
    assert isinstance(claim, ClaimedChunk)
    hold = ChunkLease(one.app, await one.job(job_id), claim)
    for line, public in enumerate(publics, claim.chunk.first_line):
        hold.answers.add(line, True, 1, public)
    await hold.settle()


@pytest.mark.parametrize(
    "publics",
    [
        pytest.param([b'{"prompt_id":"id-0"}\n', b""], id="a line is missing"),
        pytest.param([b'{"prompt_id":"id-0"}\n', b'{"prompt_id":"id-1"}\n\n'], id="a line too many"),
        pytest.param([b'{"prompt_id":"id-0"}\n'], id="an answer is missing"),
        pytest.param([b'{"prompt_id":"id-0"}\n'] * 3, id="an answer too many"),
    ],
)
async def test_a_job_whose_lines_do_not_add_up_is_never_called_completed(tmp_path: Path, publics: list[bytes]) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(2) + b" " * 9000)
        await split(one.app, job_id)
        await _settle_wrongly(one, job_id, 0, publics)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        ended = await one.until_ended(job_id)
        files = await one.files(job_id)
        manifest = orjson.loads(await download_manifest(one, job_id))

    assert (ended.status.value, ended.error and ended.error.code) == ("FAILED", "result_incomplete")
    assert ended.completed_count + ended.failed_count == ended.prompt_count == 2
    assert 0 <= ended.completed_count <= 2
    assert [file["lines"] for file in manifest["files"]] == [content.count(b"\n") for content in files.values()]


async def test_a_line_too_few_in_one_file_is_not_made_good_by_one_too_many_in_another(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1, part_lines=1) as one:
        job_id = await one.submit(prompts(2))
        await split(one.app, job_id)
        await _settle_wrongly(one, job_id, 0, [b'{"prompt_id":"id-0"}\n{"prompt_id":"id-0"}\n'])
        await _settle_wrongly(one, job_id, 1, [b""])
        ended = await one.until_ended(job_id)

    assert (ended.status.value, ended.error and ended.error.code) == ("FAILED", "result_incomplete")
