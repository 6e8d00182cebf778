"""The result files of a job."""

from pathlib import Path

from promptforge.api.job_results import job_results
from promptforge.domain.manifest import MANIFEST_FILE
from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts
from tests.harness.request_errors import request_error


async def test_job_results_lists_every_file_and_the_manifest_with_working_urls(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, ManualClock(1000.5), chunk_lines=2, part_lines=2) as one:
        job_id = await one.run(prompts(4) + b"bad line\n")
        response = await job_results(one.context, "tests", job_id)
        contents = [(await one.http.get(file.url)).content for file in response.files]
        manifest = (await one.http.get(response.manifest.url)).json()
        times = {file["expires_at"] for file in response.model_dump(mode="json")["files"]}

    assert response.status == "COMPLETED"
    assert [file.filename for file in response.files] == [file["filename"] for file in manifest["files"]]
    assert [content.count(b"\n") for content in contents] == [file["lines"] for file in manifest["files"]]
    assert (response.manifest.filename, manifest["job_id"]) == (MANIFEST_FILE, job_id)
    assert times == {"1970-01-01T01:16:40.000Z"}


async def test_job_results_url_expires_after_its_seconds(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, download_url_seconds=60) as one:
        response = await job_results(one.context, "tests", await one.run(prompts(1)))
        clock.advance(60)

        assert (await one.http.get(response.files[0].url)).status_code == 403


async def test_job_results_of_active_job_is_refused(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        error = await request_error(job_results(one.context, "tests", await one.submit(prompts(1))))

    assert error.code == "not_finished"
    assert "AWAITING_UPLOAD" in error.detail


async def test_job_results_of_job_that_finished_without_files_is_refused(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        await one.cancel(job_id)
        error = await request_error(job_results(one.context, "tests", job_id))

    assert error.code == "no_results"
    assert "CANCELLED" in error.detail


async def test_job_results_of_another_clients_job_is_refused(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        error = await request_error(job_results(one.context, "alice", await one.run(prompts(1))))

    assert error.code == "job_not_found"
