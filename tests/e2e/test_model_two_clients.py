"""Two clients act in any order while deliveries are late, repeated or lost, workers crash and the clock jumps.

PROMPTFORGE_EXAMPLES=2000 runs for longer, each time with other examples.
"""

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from promptforge.engine.push_requests import SUBSCRIPTIONS
from promptforge.state.chunks import ClaimedChunk
from tests.harness.two_clients import CLIENTS, UNKNOWN_JOB_ID, KnownJob, TwoClients, input_file, two_clients
from tests.harness.two_clients_checks import check_end, check_results, check_statuses

T = TypeVar("T")

EXAMPLES = os.environ.get("PROMPTFORGE_EXAMPLES") or None
MAX_JOBS = 4
KINDS = ["good", "good", "good", "mixed", "mixed", "mixed", "empty"]
SECONDS = [1] * 4 + [61] * 8 + [301] * 3 + [3700] * 2 + [90_000]
MAX_LOST_LEASES = 8
"""Of one job. After more of them a chunk is abandoned unread, and its errors name no prompt_id."""

some_job = st.integers(0, MAX_JOBS - 1)
some_client = st.sampled_from(CLIENTS)


class Scenario(RuleBasedStateMachine):
    """The stack, its event loop and the jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.clients: TwoClients = self.run(self.stack.enter_async_context(two_clients(Path(self.folder.name))))

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(step)

    def job(self, number: int) -> KnownJob:
        return self.clients.jobs[number % len(self.clients.jobs)]

    def processing_job(self, number: int) -> KnownJob | None:
        """Return a job whose last known status is PROCESSING, if there is one.

        Rules call this: a precondition must not depend on the progress of the stack.
        """
        jobs = [job for job in self.clients.jobs if job.status == "PROCESSING"]
        return jobs[number % len(jobs)] if jobs else None

    def teardown(self) -> None:
        try:
            self.run(_run_to_the_end(self.clients))
        finally:
            self.run(self.stack.aclose())
            self.loop.close()
            self.folder.cleanup()


class ClientRules(Scenario):
    """The requests of the clients."""

    def __init__(self) -> None:
        super().__init__()
        self.by_key: dict[tuple[str, str], KnownJob] = {}

    @initialize(
        client=some_client, kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)), split=st.booleans()
    )
    def begin(self, client: str, kinds: tuple[str, str], split: bool) -> None:
        for kind in kinds:
            self.create(client, None, kind)
        if split:
            self.run(self.clients.deliver("bucket:uploads", 2, 1))

    @precondition(lambda self: len(self.clients.jobs) < MAX_JOBS)
    @rule(client=some_client, key=st.sampled_from([None, None, "k-1", "k-2"]), kind=st.sampled_from([None, *KINDS]))
    def create(self, client: str, key: str | None, kind: str | None) -> None:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"provider": "openai", "model": "m", "max_retries": 0}
        reply = self.run(self.clients.request("POST", "/v1/jobs/init", client, json=body, headers=headers))
        assert reply.status_code == 202
        self._record(client, key, reply.json()["job_id"], reply.json()["upload_url"])
        if kind and self.clients.jobs[-1].content is None:
            self.upload(len(self.clients.jobs) - 1, kind)

    def _record(self, client: str, key: str | None, job_id: str, url: str) -> None:
        known = self.by_key.get((client, key or ""))
        if known:
            assert job_id == known.job_id
            return
        job = KnownJob(client, job_id, url, self.clients.clock.time + 15 * 60)
        assert job_id not in [known.job_id for known in self.clients.jobs]
        self.clients.jobs.append(job)
        if key:
            self.by_key[client, key] = job

    @precondition(lambda self: self.clients.jobs)
    @rule(number=some_job, kind=st.sampled_from(KINDS))
    def upload(self, number: int, kind: str) -> None:
        job = self.job(number)
        content = input_file(self.clients.jobs.index(job), kind)
        reply = self.run(self.clients.stack.put(job.url, content))
        if self.clients.clock.time >= job.expires_at:
            assert (reply.status_code, reply.json()["code"]) == (403, "url_expired")
        elif job.content is not None:
            assert (reply.status_code, reply.json()["code"]) == (403, "already_uploaded")
        else:
            assert reply.status_code == 200
            job.content = content

    @precondition(lambda self: self.clients.jobs)
    @rule(number=some_job, seldom=st.integers(0, 2))
    def cancel(self, number: int, seldom: int) -> None:
        job = self.job(number)
        if seldom < 2 and not job.final:
            return
        reply = self.run(self.clients.request_job(job, "cancel"))
        if job.status in ("COMPLETED", "FAILED"):
            assert (reply.status_code, reply.json()["code"]) == (409, "already_ended")
        else:
            assert reply.status_code == 200
            job.cancel_accepted = True
            if job.status == "AWAITING_UPLOAD":
                assert reply.json()["status"] == "CANCELLED"

    @rule(client=some_client, seldom=st.integers(0, 3))
    def revoke(self, client: str, seldom: int) -> None:
        if seldom == 3:
            self.run(self._revoke(client))

    async def _revoke(self, client: str) -> None:
        api_keys = self.clients.stack.context.api_keys
        assert await api_keys.revoke(client, None) == 1
        paths = [f"/v1/jobs/{job.job_id}/status" for job in self.clients.jobs] or [f"/v1/jobs/{UNKNOWN_JOB_ID}/status"]
        for path in paths:
            assert (await self.clients.request("GET", path, client)).status_code == 401
        self.clients.keys[client] = await api_keys.create(client)

    @precondition(lambda self: self.clients.jobs)
    @rule(number=some_job, verb=st.sampled_from(["status", "results", "cancel"]))
    def request_job_of_other_client(self, number: int, verb: str) -> None:
        job = self.job(number)
        other = CLIENTS[1 - CLIENTS.index(job.client)]
        foreign = self.run(self.clients.request_job(job, verb, other))
        unknown = self.run(self.clients.request_job(KnownJob(other, UNKNOWN_JOB_ID, "", 0), verb))
        assert foreign.status_code == 404
        assert foreign.content == unknown.content

    @precondition(lambda self: self.clients.jobs)
    @rule(number=some_job)
    def request_results(self, number: int) -> None:
        self.run(check_results(self.clients, self.job(number)))


class PlatformRules(Scenario):
    """Deliveries, crashes and time."""

    @rule(which=st.integers(0, 5), limit=st.integers(1, 4), copies=st.integers(1, 3))
    def deliver(self, which: int, limit: int, copies: int) -> None:
        if due := self.run(self.clients.sources_due()):
            self.run(self.clients.deliver(due[which % len(due)], limit, copies))

    @rule(seldom=st.integers(0, 3))
    def deliver_all(self, seldom: int) -> None:
        if seldom == 3:
            self.run(self.clients.deliver_all())

    @rule(number=st.integers(0, 100))
    def deliver_again(self, number: int) -> None:
        if delivered := self.clients.delivered:
            assert self.run(self.clients.send(delivered[number % len(delivered)]))

    @rule(which=st.integers(0, 5), forever=st.booleans())
    def lose(self, which: int, forever: bool) -> None:
        """Lose the entries of a source, or claim two of them for a receiver that vanishes."""
        if due := self.run(self.clients.sources_due()):
            source = due[which % len(due)]
            if forever:
                self.run(self.clients.stack.drop_messages(source))
            else:
                self.run(self.clients.queue.claim(source, 2, SUBSCRIPTIONS[source].ack_seconds))

    @rule(number=some_job, chunk=st.integers(0, 3))
    def claim_and_vanish(self, number: int, chunk: int) -> None:
        job = self.processing_job(number)
        if job and job.lost_leases < MAX_LOST_LEASES:
            claim = self.clients.stack.context.chunks.claim(job.job_id, chunk, f"vanished-{job.lost_leases}", 60)
            job.lost_leases += isinstance(self.run(claim), ClaimedChunk)

    @rule(number=some_job, chunk=st.integers(0, 3), ticks=st.integers(0, 60))
    def crash_worker(self, number: int, chunk: int, ticks: int) -> None:
        if job := self.processing_job(number):
            job.crashes += 1
            self.run(self.clients.crash_worker(job, chunk, ticks))

    @rule(seconds=st.sampled_from(SECONDS))
    def advance(self, seconds: int) -> None:
        self.run(self.clients.advance(seconds))


class TwoClientMachine(ClientRules, PlatformRules):
    """Both sets of rules, with a check of all statuses after each step."""

    @invariant()
    def statuses_move_forward(self) -> None:
        self.run(check_statuses(self.clients, [job for job in self.clients.jobs if not job.final]))


async def _run_to_the_end(clients: TwoClients) -> None:
    """Check that every job ends without further requests, long before its deadline."""
    for seconds in [301, 1900] * 10:
        if not all(job.final for job in clients.jobs):
            await _advance_and_deliver(clients, seconds)
    assert all(job.final for job in clients.jobs), clients.jobs
    await _advance_and_deliver(clients, 90_000)  # a day later nothing changes
    for job in clients.jobs:
        await check_end(clients, job)


async def _advance_and_deliver(clients: TwoClients, seconds: int) -> None:
    await clients.advance(seconds)
    await clients.deliver_all()
    await check_statuses(clients, clients.jobs)


TestTwoClients = TwoClientMachine.TestCase
TestTwoClients.settings = settings(
    max_examples=int(EXAMPLES or 40),
    stateful_step_count=30,
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
