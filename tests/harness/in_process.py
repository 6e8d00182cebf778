"""The whole product in one process: the real functions, local adapters and dispatcher, without sockets."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from promptforge.adapters.local.database import Database
from promptforge.adapters.local.queue import SqliteQueue
from promptforge.bootstrap import build_context, build_worker_runtime, set_current
from promptforge.context import AppContext
from promptforge.domain.job import Job
from promptforge.engine.dispatcher import Dispatcher
from promptforge.engine.http_app import api_app
from promptforge.engine.load_functions import load_function
from promptforge.engine.push_requests import SUBSCRIPTIONS, push_request
from promptforge.settings import Settings
from promptforge.worker.runtime import WorkerRuntime
from tests.harness.api_client import ApiClient
from tests.harness.clock import ManualClock

URL = "http://machine"
FUNCTION_TIMEOUT_SECONDS = 60.0


@dataclass(kw_only=True)
class InProcessStack(ApiClient):
    """The product and its client `tests`.

    Messages are delivered only while a method of the stack delivers them. `copies` is how often each message is
    delivered, all at once. `called_functions` lists the functions that received a message.
    """

    context: AppContext
    runtime: WorkerRuntime
    database: Database
    copies: int = 1
    called_functions: list[str] = field(default_factory=list)

    async def run(self, content: bytes, **fields: Any) -> str:
        """Create a job, upload its input and deliver messages until the job has finished.

        Returns the job id.
        """
        job_id = await self.submit(content, **fields)
        await self.wait_until_finished(job_id)
        return job_id

    async def wait_until_finished(self, job_id: str) -> Job:
        """Deliver messages until the job has a final status."""
        dispatcher = Dispatcher(SqliteQueue(self.database, self.context.clock), self.send, workers=2)
        running = asyncio.create_task(dispatcher.run())
        try:
            async with asyncio.timeout(60):
                while (job := await self.job(job_id)).open:
                    await asyncio.sleep(0.005)
        finally:
            dispatcher.stop()
            await running
        return job

    async def deliver_all(self) -> None:
        """Deliver messages until none is due."""
        queue = SqliteQueue(self.database, self.context.clock)
        while sources := await queue.sources_due(list(SUBSCRIPTIONS)):
            subscription = SUBSCRIPTIONS[sources[0]]
            for delivery in await queue.claim(sources[0], 4, subscription.ack_seconds):
                assert await self.send(subscription.function, *push_request(delivery), FUNCTION_TIMEOUT_SECONDS)
                await queue.ack(delivery)

    async def send(self, function: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> bool:
        """POST a message to a function, `copies` times at once.

        Return whether every copy was accepted.

        The copies of an event have different ids.
        """
        self.called_functions.append(function)
        transport = httpx.ASGITransport(load_function(function))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            posts = [
                client.post("/", content=body, headers=_copy_headers(headers, copy)) for copy in range(self.copies)
            ]
            return all(response.is_success for response in await asyncio.gather(*posts))

    async def job(self, job_id: str) -> Job:
        """Return the document of a job."""
        job = await self.context.jobs.get(job_id)
        assert job is not None
        return job

    async def remaining_data(self, job_id: str) -> list[str]:
        """Return every document and object of a job.

        Each object has one file, and no other file exists.
        """
        sql = (
            "select path from documents where instr(path || data, :id)"
            " union all select bucket || '/' || name from objects where instr(name, :id)"
        )
        files = [path for path in self.context.settings.data_dir.glob("objects/*/*") if path.is_file()]
        count = await self.database.read(lambda c: c.execute("select count(*) from objects").fetchone()[0])
        assert len(files) == count
        rows = await self.database.read(lambda c: c.execute(sql, {"id": job_id}).fetchall())
        return [name for (name,) in rows]

    async def drop_messages(self, source: str) -> None:
        """Drop every undelivered message of a source.

        There must be at least one.
        """
        sql = "delete from deliveries where source = ?"
        dropped = await self.database.write(lambda connection: connection.execute(sql, (source,)).rowcount)
        assert dropped > 0


@asynccontextmanager
async def in_process_stack(
    folder: Path, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[InProcessStack]:
    """Run a stack on a folder with these settings."""
    context = build_context(Settings(data_dir=folder, public_url=URL, **settings), clock, random.Random(7))
    runtime = build_worker_runtime(context)
    set_current(context, runtime)
    database = Database(folder / "state.db")
    transport = httpx.ASGITransport(api_app(context, lambda: None))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
            key = await context.api_keys.create("tests")
            yield InProcessStack(http=http, key=key, context=context, runtime=runtime, database=database)
    finally:
        await runtime.close()
        await context.close()
        database.close()


def _copy_headers(headers: Mapping[str, str], copy: int) -> Mapping[str, str]:
    """Return the headers of a copy.

    An event gets another id.
    """
    return {**headers, "ce-id": f"{headers['ce-id']}-{copy}"} if "ce-id" in headers else headers
