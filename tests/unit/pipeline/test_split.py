"""The split of an upload into chunks."""

import asyncio
from pathlib import Path

from tests.harness.in_process import in_process_stack


async def test_split_of_a_file_of_newlines_is_quick_and_fails_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_lines=1_000_000) as one:
        async with asyncio.timeout(20):
            job_id = await one.run(b"\n" * 4_000_000)
        status = await one.status(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "limit_exceeded")
