"""Deleting when something goes wrong: what was begun is ended, or the client is told to ask again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.clock import HandClock
from tests.harness.in_process import in_process_stack, prompts

from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.errors import Unavailable
from promptforge.pipeline.erase import erase
from promptforge.pipeline.sweep import sweep
from promptforge.ports.documents import Document, Documents, Update
from promptforge.ports.objects import Objects
from promptforge.state.tombstones import TombstoneStore


class Failing:
    """A bucket whose next deletes go wrong."""

    def __init__(self, bucket: Objects) -> None:
        self._bucket = bucket
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)

    def list(self, prefix: str) -> AsyncIterator[str]:
        return self._bucket.list(prefix)

    async def delete(self, name: str) -> None:
        if self.left <= 0:
            raise Unavailable(name)
        self.left -= 1
        await self._bucket.delete(name)


async def test_erasing_that_is_broken_off_goes_on_where_it_was_and_may_run_twice_at_once(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, part_lines=2) as one:
        job_id = await one.run(prompts(20))
        one.app.results = bucket = Failing(one.app.results)
        assert (await one.delete(job_id)).status_code == 204
        for left in (3, 0, 5):
            bucket.left = left
            with pytest.raises(Unavailable):
                await erase(one.app, job_id)
        bucket.left = 1000
        await asyncio.gather(*[erase(one.app, job_id) for _ in range(3)])
        assert await one.remains(job_id) == [f"jobs/{job_id}"]
        clock.move(MAX_PROCESS_STALL_SECONDS + 3600)
        await asyncio.gather(*[erase(one.app, job_id) for _ in range(3)])
        clock.move(2 * MAX_PROCESS_STALL_SECONDS + 1)
        await asyncio.gather(*[erase(one.app, job_id) for _ in range(3)])
        assert await one.remains(job_id) == []
        await erase(one.app, job_id)


async def test_a_delete_whose_task_is_lost_costs_only_time(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.run(prompts(3))
        await one.delete(job_id)
        for _ in range(2):  # its own, and the sweeper's
            await one.lose("queue:eraser")
            clock.move(ERASE_RETRY_SECONDS + 1)
            await sweep(one.app)
            await sweep(one.app)
        await one.deliver_all()

        assert await one.remains(job_id) == [f"jobs/{job_id}"]


class Restless:
    """Documents of which each that is read is written by somebody else before its reader can do so."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def get(self, path: str) -> Document | None:
        return await self._moved(await self._documents.get(path))

    async def query(self, *args: Any, **keywords: Any) -> list[Document]:
        page = await self._documents.query(*args, **keywords)
        for document in page:
            await self._moved(document)
        return page

    async def _moved(self, document: Document | None) -> Document | None:
        if document:
            await self._documents.commit([Update(document.path, document.data, document.version)])
        return document


async def test_a_job_that_does_not_stand_still_is_to_be_deleted_again_in_a_moment(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id, documents = await one.run(prompts(3)), one.app.documents
        one.app.tombstones = TombstoneStore(Restless(documents), one.app.rng)
        reply = await one.delete(job_id)
        with pytest.raises(Unavailable):
            await one.app.tombstones.delete_chunks(job_id)

        assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
        assert len(await one.results(job_id)) == 3
