"""A finished job that several test modules read."""

import asyncio
from pathlib import Path

import pytest

from tests.harness.finished_job import CONTENT, FinishedJob, download_finished_job
from tests.harness.in_process import in_process_stack


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> FinishedJob:
    """A job with invalid lines, duplicate ids, blank lines, both line endings and many result files."""

    async def make(folder: Path) -> FinishedJob:
        async with in_process_stack(folder / "data", chunk_lines=4, part_lines=12, max_line_bytes=2000) as one:
            job_id = await one.run(CONTENT)
            return await download_finished_job(one, job_id, CONTENT, folder)

    return asyncio.run(make(tmp_path_factory.mktemp("good")))


@pytest.fixture
def copy(good: FinishedJob, tmp_path: Path) -> FinishedJob:
    """A copy of the job that a test may damage."""
    return good.copy_to(tmp_path / "copy")
