"""A finished job that several files of tests look at."""

import asyncio
from pathlib import Path

import pytest
from tests.support.bundle import CONTENT, Bundle, bring_home
from tests.support.machine import machine


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A job with bad lines, repeated ids, blank lines, both ends of line and many files of results."""

    async def make(folder: Path) -> Bundle:
        async with machine(folder / "data", chunk_lines=4, part_lines=12, max_line_bytes=2000) as one:
            job_id = await one.run(CONTENT)
            return await bring_home(one, job_id, CONTENT, folder)

    return asyncio.run(make(tmp_path_factory.mktemp("good")))


@pytest.fixture
def copy(good: Bundle, tmp_path: Path) -> Bundle:
    """The same, to be spoiled."""
    return good.copied(tmp_path / "copy")
