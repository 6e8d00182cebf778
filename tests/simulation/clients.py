"""The clients of a run: they create jobs over HTTP, upload, poll and download, and repeat requests until a response."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from tests.simulation.http import Response, send_request
from tests.simulation.jobs import CANARY, SimulatedJob, draw_job

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

FINAL = ("COMPLETED", "FAILED", "CANCELLED")
UNKNOWN_JOB_ID = "00000000-0000-4000-8000-000000000000"
TIME_LIMIT_SECONDS = 30.0
LATE_WRITE_SECONDS = 3600.0  # every write that started before a delete has ended by then
MAX_POLL_SECONDS = 120.0


class Clients:
    """Every client with its key.

    A client repeats a request until an instance responds.
    """

    def __init__(self, simulator: "Simulator") -> None:
        self.simulator = simulator
        rng = simulator.rng
        self.jobs = [draw_job(rng, number, simulator.plan) for number in range(rng.choice((1, 1, 2)))]
        self.keys = {"alice": "alice's key " + CANARY, "bob": "bob's key " + CANARY}

    async def run(self) -> None:
        """Run every job until its client has downloaded or deleted it."""
        for client, key in self.keys.items():
            await self.simulator.checker.context.api_keys.admit(client, key)
            calls = self.simulator.rng.choice((None, 1, 5, 10, 30))
            if calls and "cost_limit" in self.simulator.plan.faults:
                self.simulator.record_fault("cost_limit", client)
                await self.simulator.costs.set_daily_limit(client, calls)
        await asyncio.gather(*[self._run_job(job) for job in self.jobs])

    async def _run_job(self, job: SimulatedJob) -> None:
        simulator, rng = self.simulator, self.simulator.rng
        await asyncio.sleep(rng.uniform(0, 30))
        created = await self._create(job)
        job.job_id = created["job_id"]
        if simulator.draws("never_uploaded", 1.0):
            simulator.record_fault("never_uploaded", job.job_id)
        else:
            await self._upload(job, created["upload_url"])
        if simulator.draws("cancelled", 1.0):
            simulator.spawn(self._cancel(job, rng.choice((0.0, 1.0, 10.0, 60.0)) * rng.random()))
        if simulator.draws("input_deleted", 1.0):
            simulator.spawn(self._delete_input(job))
        if simulator.draws("deleted", 1.0):
            await self._delete(job, rng.choice((0.0, 1.0, 10.0, 60.0, 600.0)) * rng.random())
        else:
            await self._poll(job)
            await self._download(job)

    async def _create(self, job: SimulatedJob) -> Any:
        if job.max_cost_usd:
            self.simulator.record_fault("cost_limit", f"job {job.number}")
        copies = 1
        if self.simulator.draws("init_repeated", 1.0):
            self.simulator.record_fault("init_repeated", job.client)
            copies = 3
        created = [response.json for response in await asyncio.gather(*[self._init(job) for _ in range(copies)])]
        job_ids = {response["job_id"] for response in created}
        self.simulator.expect(len(job_ids) == 1, "one Idempotency-Key creates one job")
        return created[0]

    async def _init(self, job: SimulatedJob, accepted: tuple[int, ...] = (202,)) -> Response:
        body: dict[str, Any] = {"provider": "echo", "model": "m", "max_retries": job.max_retries}
        if job.max_cost_usd:
            body["max_cost_usd"] = job.max_cost_usd
        headers = {"Idempotency-Key": f"job-{job.number}"}
        return await self.request(job.client, "POST", "/v1/jobs/init", headers, body, accepted)

    async def _upload(self, job: SimulatedJob, url: str) -> None:
        simulator, api = self.simulator, self.simulator.checker.api
        await asyncio.sleep(simulator.rng.uniform(0, 20))
        headers = {"Content-Type": "application/octet-stream"}
        first = await send_request(api, "PUT", url, headers, job.content)
        simulator.expect(first.status == 200, f"the upload returns 200, not {first.status}")
        simulator.platform.wake()
        if simulator.draws("uploaded_twice", 1.0):
            simulator.record_fault("uploaded_twice", job.job_id)
            second = await send_request(api, "PUT", url, headers, b'{"prompt_id":"a","prompt":"b"}')
            simulator.expect(second.status == 403, f"a second upload returns 403, not {second.status}")

    async def _cancel(self, job: SimulatedJob, delay: float) -> None:
        simulator = self.simulator
        await asyncio.sleep(delay)
        simulator.record_fault("cancelled", job.job_id)
        for _ in range(simulator.rng.choice((1, 2))):
            path = f"/v1/jobs/{job.job_id}/cancel"
            response = await self.request(job.client, "POST", path, accepted=(200, 404, 409))
            if response.status == 200:
                job.cancelled_at = min(job.cancelled_at, simulator.now)
            elif response.status == 404:
                simulator.expect(job.delete_sent_at <= simulator.now, f"cancel finds {job.job_id}")
            else:
                known = response.json["code"] == "already_ended"
                simulator.expect(known, f"cancel returns already_ended, not {response.body!r}")

    async def _delete_input(self, job: SimulatedJob) -> None:
        await asyncio.sleep(self.simulator.rng.uniform(0, 60))
        self.simulator.record_fault("input_deleted", job.job_id)
        await self.simulator.checker.context.uploads.delete(f"{job.job_id}/input.jsonl")

    async def _delete(self, job: SimulatedJob, delay: float) -> None:
        """Delete a job and wait until its data is erased.

        A request whose response was lost may have taken effect, so the next one may return 404.
        """
        simulator, path = self.simulator, f"/v1/jobs/{job.job_id}"
        await asyncio.sleep(delay)
        simulator.record_fault("deleted", job.job_id)
        job.delete_sent_at = simulator.now
        for _ in range(simulator.rng.choice((1, 2))):
            await self.request(job.client, "DELETE", path, accepted=(204, 404))
            job.deleted_at = min(job.deleted_at, simulator.now)
        for method, verb in (("GET", "status"), ("GET", "results"), ("POST", "cancel")):
            await self.request(job.client, method, f"{path}/{verb}", accepted=(404,))
        await self._create_again(job)
        await asyncio.sleep(LATE_WRITE_SECONDS)
        while await simulator.checker.remaining_data(job.job_id):
            await asyncio.sleep(60)
        await self._create_again(job)

    async def _create_again(self, job: SimulatedJob) -> None:
        """Check that the Idempotency-Key of a deleted job leads to no job."""
        response = await self._init(job, accepted=(409,))
        self.simulator.expect(
            response.json["code"] == "job_deleted", f"init returns job_deleted, not {response.body!r}"
        )

    async def _poll(self, job: SimulatedJob) -> None:
        pause, path, status = 1.0, f"/v1/jobs/{job.job_id}/status", "AWAITING_UPLOAD"
        other_client = "bob" if job.client == "alice" else "alice"
        while status not in FINAL:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_SECONDS)
            job.final = (await self.request(job.client, "GET", path)).json
            status = job.final["status"]
        unknown = await self.request(other_client, "GET", f"/v1/jobs/{UNKNOWN_JOB_ID}/status", accepted=(404,))
        foreign = await self.request(other_client, "GET", path, accepted=(404,))
        self.simulator.expect(foreign.body == unknown.body, "the job of another client is as unknown as any")

    async def _download(self, job: SimulatedJob) -> None:
        response = await self.request(job.client, "GET", f"/v1/jobs/{job.job_id}/results", accepted=(200, 409))
        if response.status == 200:
            listed = [*response.json["files"], response.json["manifest"]]
            job.files = {file["filename"]: await self._content(file["url"]) for file in listed}

    async def _content(self, url: str) -> bytes:
        """Return the object of a signed URL."""
        name = urlsplit(url).path.removeprefix("/storage/results/")
        return b"".join([block async for block in self.simulator.checker.context.results.read(name)])

    async def request(
        self,
        client: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        accepted: tuple[int, ...] = (200, 202),
    ) -> Response:
        """Send a request to the API until an instance responds with an accepted status."""
        simulator, response = self.simulator, Response()
        all_headers = {"X-API-Key": self.keys[client], **(headers or {})}
        content, url = orjson.dumps(body) if body else b"", f"http://simulation{path}"
        while True:
            instance = simulator.platform.pick_instance()
            if instance:
                response = await simulator.platform.call(
                    instance.api, instance, method, url, all_headers, content, TIME_LIMIT_SECONDS
                )
            if response.status in accepted:
                return response
            if response.status == 429 and response.json["code"] == "spend_limit":
                await asyncio.sleep(int(response.headers["retry-after"]))
                continue
            claim = f"{method} {path} returns 503 or nothing, not {response.status} {response.body!r}"
            simulator.expect(response.status in (0, 503), claim)
            await asyncio.sleep(simulator.rng.uniform(0.5, 5))
