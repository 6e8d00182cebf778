"""The whole product in one process: the real functions and adapters, with deliveries brought by the real dispatcher."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

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
from tests.harness.canary import find_leaks
from tests.harness.clock import ManualClock

URL = "http://machine"
Line = dict[str, Any]


@dataclass
class InProcessStack:
    """One machine without processes. `copies` is how often each delivery is brought, all at once."""

    context: AppContext
    runtime: WorkerRuntime
    database: Database
    http: httpx.AsyncClient
    key: str
    copies: int = 1
    called_functions: list[str] = field(default_factory=list)
    _ids: Any = field(default_factory=itertools.count)

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates the machine's own client."""
        return {"X-API-Key": self.key}

    async def init(self, **order: Any) -> dict[str, Any]:
        """Open a job: echo, unless said otherwise."""
        body = {"provider": "echo", "model": "echo-1", **order}
        reply = await self.http.post("/v1/jobs/init", json=body, headers=self.headers)
        assert reply.status_code == 202, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def put(self, url: str, content: bytes) -> httpx.Response:
        """Upload."""
        return await self.http.put(url, content=content, headers={"Content-Type": "application/octet-stream"})

    async def submit(self, content: bytes, **order: Any) -> str:
        """Open a job and upload its file."""
        ticket = await self.init(**order)
        reply = await self.put(ticket["upload_url"], content)
        assert reply.status_code == 200, reply.text
        job_id: str = ticket["job_id"]
        return job_id

    async def run(self, content: bytes, **order: Any) -> str:
        """Open a job, upload its file and bring deliveries until it has ended."""
        job_id = await self.submit(content, **order)
        await self.wait_until_finished(job_id)
        return job_id

    async def wait_until_finished(self, job_id: str) -> Job:
        """Bring deliveries until the job has a final status."""
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
        """Bring deliveries until none is due."""
        deliveries = SqliteQueue(self.database, self.context.clock)
        while due := await deliveries.sources_due(list(SUBSCRIPTIONS)):
            for delivery in await deliveries.claim(due[0], 4, SUBSCRIPTIONS[due[0]].ack_seconds):
                assert await self.send(SUBSCRIPTIONS[due[0]].function, *push_request(delivery), 60)
                await deliveries.ack(delivery)

    async def send(self, function: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> bool:
        """POST an event to a function, `copies` times at once, under different ids where it has one; whether all were
        taken."""
        self.called_functions.append(function)
        transport = httpx.ASGITransport(load_function(function))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            posts = [
                client.post("/", content=body, headers=_another(headers, copy) if "ce-id" in headers else headers)
                for copy in range(self.copies)
            ]
            return all(reply.is_success for reply in await asyncio.gather(*posts))

    async def job(self, job_id: str) -> Job:
        """The job's document."""
        job = await self.context.jobs.get(job_id)
        assert job is not None
        return job

    async def status(self, job_id: str) -> dict[str, Any]:
        """What the API says of the job."""
        reply = await self.http.get(f"/v1/jobs/{job_id}/status", headers=self.headers)
        assert reply.status_code == 200, reply.text
        assert not find_leaks(reply.text)
        answer: dict[str, Any] = reply.json()
        return answer

    async def cancel(self, job_id: str) -> httpx.Response:
        """Ask for the job to be cancelled."""
        return await self.http.post(f"/v1/jobs/{job_id}/cancel", headers=self.headers)

    async def delete(self, job_id: str) -> httpx.Response:
        """Ask for the job to be erased."""
        return await self.http.delete(f"/v1/jobs/{job_id}", headers=self.headers)

    async def remaining_data(self, job_id: str) -> list[str]:
        """Every document and object of the job; each object has one file, and there is no other."""
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
        """Lose every delivery of a source that is under way; there must be one."""
        sql = "delete from deliveries where source = ?"
        lost = await self.database.write(lambda connection: connection.execute(sql, (source,)).rowcount)
        assert lost > 0

    async def files(self, job_id: str) -> dict[str, bytes]:
        """The job's files, downloaded through their signed URLs."""
        reply = await self.http.get(f"/v1/jobs/{job_id}/results", headers=self.headers)
        assert reply.status_code == 200, reply.text
        return {file["filename"]: (await self.http.get(file["url"])).content for file in reply.json()["files"]}

    async def results(self, job_id: str) -> list[Line]:
        """Every result line, in the order of the files."""
        files = await self.files(job_id)
        return [line for name in sorted(files) if name.startswith("results_part") for line in parse_lines(files[name])]

    async def errors(self, job_id: str) -> list[Line]:
        """Every error line."""
        lines = parse_lines((await self.files(job_id))["errors.jsonl"])
        assert not [line for line in lines if find_leaks(line.get("message", ""))]
        return lines


@asynccontextmanager
async def in_process_stack(
    folder: Path, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[InProcessStack]:
    """A machine in a folder, with settings of its own and a client called `tests`."""
    app = build_context(Settings(data_dir=folder, public_url=URL, **settings), clock, random.Random(7))
    runtime = build_worker_runtime(app)
    set_current(app, runtime)
    database = Database(folder / "state.db")
    transport = httpx.ASGITransport(api_app(app, lambda: None))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
            yield InProcessStack(app, runtime, database, http, await app.api_keys.create("tests"))
    finally:
        await runtime.close()
        await app.close()
        database.close()


def _another(headers: Mapping[str, str], copy: int) -> dict[str, str]:
    """The headers of the same event under an id of its own."""
    return {**headers, "ce-id": f"{headers['ce-id']}-{copy}"}


def parse_lines(content: bytes) -> list[Line]:
    """A JSONL text, parsed; every line must end."""
    assert not content or content.endswith(b"\n")
    return [orjson.loads(line) for line in content.split(b"\n") if line]


def prompts(count: int, first: int = 0) -> bytes:
    """A good input file."""
    rows = [{"prompt_id": f"id-{number}", "prompt": f"prompt {number}"} for number in range(first, first + count)]
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)
