"""Two clients do what they like in any order while events come late, twice and never, workers die and time jumps.

PROMPTFORGE_EXAMPLES=2000 plays longer, with other games each time.
"""

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.harness.in_process import lines_of
from tests.harness.two_clients import CLIENTS, UNKNOWN, Known, TwoClients, content_of, lines_asked, two_clients

from promptforge.api.auth import create_key, revoke_keys
from promptforge.domain.job import TRANSITIONS, Status
from promptforge.engine.push_requests import SUBSCRIPTIONS
from promptforge.pipeline.sweep import sweep
from promptforge.state.chunks import ClaimedChunk

EXAMPLES = os.environ.get("PROMPTFORGE_EXAMPLES") or None
MAX_JOBS = 4
KINDS = ["good", "good", "good", "mixed", "mixed", "mixed", "empty"]
SECONDS = [1] * 4 + [61] * 8 + [301] * 3 + [3700] * 2 + [90_000]
MAX_KILLS = 8  # of one job: more, and a chunk is closed unread, which names no prompt_id
REASONS = {
    "CANCELLED": {"cancelled"},
    "FAILED": {"upload_expired", "empty_input", "all_prompts_failed", "deadline_exceeded"},
}

some_job = st.integers(0, MAX_JOBS - 1)
some_client = st.sampled_from(CLIENTS)


class TwoClientMachine(RuleBasedStateMachine):
    """Each rule is one thing that may happen; after each, what must hold is asked of the API."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.by_key: dict[tuple[str, str], Known] = {}
        self.player: TwoClients = self.loop.run(self.stack.enter_async_context(two_clients(Path(self.folder.name))))

    def job(self, number: int) -> Known:
        return self.player.jobs[number % len(self.player.jobs)]

    def working(self, number: int) -> Known | None:
        """Asked inside a rule: what may be drawn must not depend on how far the machine has come by then."""
        jobs = [job for job in self.player.jobs if job.status == "PROCESSING"]
        return jobs[number % len(jobs)] if jobs else None

    # What clients do

    @initialize(client=some_client, kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)), cut=st.booleans())
    def begin(self, client: str, kinds: tuple[str, str], cut: bool) -> None:
        for kind in kinds:
            self.order(client, None, kind)
        if cut:
            self.loop.run(self.player.deliver("bucket:uploads", 2, 1))

    @precondition(lambda self: len(self.player.jobs) < MAX_JOBS)
    @rule(client=some_client, key=st.sampled_from([None, None, "k-1", "k-2"]), kind=st.sampled_from([None, *KINDS]))
    def order(self, client: str, key: str | None, kind: str | None) -> None:
        self.loop.run(self._order(client, key))
        if kind and self.player.jobs[-1].content is None:
            self.upload(len(self.player.jobs) - 1, kind)

    async def _order(self, client: str, key: str | None) -> None:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"provider": "openai", "model": "m", "max_retries": 0}
        reply = await self.player.call("POST", "/v1/jobs/init", client, json=body, headers=headers)
        assert reply.status_code == 202
        ticket = reply.json()
        before = self.by_key.get((client, key or ""))
        if before:
            assert ticket["job_id"] == before.job_id
            return
        expires_at = self.player.clock.time + 15 * 60
        job = Known(client, ticket["job_id"], ticket["upload_url"], expires_at)
        assert job.job_id not in [known.job_id for known in self.player.jobs]
        self.player.jobs.append(job)
        if key:
            self.by_key[client, key] = job

    @precondition(lambda self: self.player.jobs)
    @rule(number=some_job, kind=st.sampled_from(KINDS))
    def upload(self, number: int, kind: str) -> None:
        job = self.job(number)
        content = content_of(self.player.jobs.index(job), kind)
        reply = self.loop.run(self.player.one.put(job.url, content))
        if self.player.clock.time >= job.expires_at:
            assert (reply.status_code, reply.json()["code"]) == (403, "url_expired")
        elif job.content is not None:
            assert (reply.status_code, reply.json()["code"]) == (403, "already_uploaded")
        else:
            assert reply.status_code == 200
            job.content = content

    @precondition(lambda self: self.player.jobs)
    @rule(number=some_job, seldom=st.integers(0, 2))
    def cancel(self, number: int, seldom: int) -> None:
        job = self.job(number)
        if seldom < 2 and not job.final:
            return
        reply = self.loop.run(self.player.ask(job, "cancel"))
        if job.status in ("COMPLETED", "FAILED"):
            assert (reply.status_code, reply.json()["code"]) == (409, "already_ended")
        else:
            assert reply.status_code == 200
            job.cancel_taken = True
            if job.status == "AWAITING_UPLOAD":
                assert reply.json()["status"] == "CANCELLED"

    @rule(client=some_client, seldom=st.integers(0, 3))
    def revoke(self, client: str, seldom: int) -> None:
        if seldom == 3:
            self.loop.run(self._revoke(client))

    async def _revoke(self, client: str) -> None:
        assert await revoke_keys(self.player.one.app, client, None) == 1
        paths = [f"/v1/jobs/{job.job_id}/status" for job in self.player.jobs] or [f"/v1/jobs/{UNKNOWN}/status"]
        for path in paths:
            assert (await self.player.call("GET", path, client)).status_code == 401
        self.player.keys[client] = await create_key(self.player.one.app, client)

    @precondition(lambda self: self.player.jobs)
    @rule(number=some_job, verb=st.sampled_from(["status", "results", "cancel"]))
    def pry(self, number: int, verb: str) -> None:
        job = self.job(number)
        stranger = CLIENTS[1 - CLIENTS.index(job.client)]
        foreign = self.loop.run(self.player.ask(job, verb, stranger))
        unknown = self.loop.run(self.player.ask(Known(stranger, UNKNOWN, "", 0), verb))
        assert foreign.status_code == 404
        assert foreign.content == unknown.content

    @precondition(lambda self: self.player.jobs)
    @rule(number=some_job)
    def fetch(self, number: int) -> None:
        self.loop.run(self._fetch(self.job(number)))

    # What the platform does

    @rule(which=st.integers(0, 5), limit=st.integers(1, 4), copies=st.integers(1, 3))
    def deliver(self, which: int, limit: int, copies: int) -> None:
        if due := self.loop.run(self.player.due()):
            self.loop.run(self.player.deliver(due[which % len(due)], limit, copies))

    @rule(seldom=st.integers(0, 3))
    def deliver_all(self, seldom: int) -> None:
        if seldom == 3:
            self.loop.run(self.player.deliver_all())

    @rule(number=st.integers(0, 100))
    def deliver_an_old_event_again(self, number: int) -> None:
        if sent := self.player.sent:
            assert self.loop.run(self.player.again(sent[number % len(sent)]))

    @rule(which=st.integers(0, 5), for_good=st.booleans())
    def lose(self, which: int, for_good: bool) -> None:
        """For good; or until it is brought again, as when a receiver is never heard of again."""
        if due := self.loop.run(self.player.due()):
            source = due[which % len(due)]
            if for_good:
                self.loop.run(self.player.one.lose(source))
            else:
                self.loop.run(self.player.deliveries.claim(source, 2, SUBSCRIPTIONS[source].ack_seconds))

    @rule(number=some_job, chunk=st.integers(0, 3))
    def kill(self, number: int, chunk: int) -> None:
        job = self.working(number)
        if job and job.kills < MAX_KILLS:
            claim = self.player.one.app.chunks.claim(job.job_id, chunk, f"ghost-{job.kills}", 60)
            job.kills += isinstance(self.loop.run(claim), ClaimedChunk)

    @rule(number=some_job, chunk=st.integers(0, 3), ticks=st.integers(0, 60))
    def crash(self, number: int, chunk: int, ticks: int) -> None:
        if job := self.working(number):
            job.crashes += 1
            self.loop.run(self.player.crash(job, chunk, ticks))

    @rule(seconds=st.sampled_from(SECONDS))
    def let_time_pass(self, seconds: int) -> None:
        self.player.clock.move(seconds)
        self.loop.run(sweep(self.player.one.app))

    # What must hold

    @invariant()
    def statuses_move_forward_and_end_for_good(self) -> None:
        self.loop.run(self._look([job for job in self.player.jobs if not job.final]))

    async def _look(self, jobs: list[Known]) -> None:
        """At jobs that have ended once more at the very end: a change would stay."""
        for job in jobs:
            reply = await self.player.ask(job, "status")
            assert reply.status_code == 200
            status = reply.json()
            assert status["status"] in _reachable(job.status), (job.status, status)
            job.status = status["status"]
            assert status["completed_count"] + status["failed_count"] <= status["prompt_count"]
            assert max(self.player.calls_of(job), default=0) <= 1 + job.crashes  # nothing else is paid for twice
            if job.cancel_taken and job.final is None:
                assert job.status != "COMPLETED"
                assert status["error"] is not None
            if job.final:
                assert status == job.final
                assert sum(self.player.calls_of(job)) == job.calls
            elif Status(job.status).final:
                job.final, job.calls = status, sum(self.player.calls_of(job))

    async def _fetch(self, job: Known) -> None:
        reply = await self.player.ask(job, "results")
        if not job.final:
            assert (reply.status_code, reply.json()["code"]) == (409, "not_finished")
        elif reply.status_code != 200:
            assert (reply.status_code, reply.json()["code"]) == (409, "no_results")
            assert job.final["completed_count"] == job.final["prompt_count"] == 0
        else:
            listed = reply.json()["files"]
            files = {file["filename"]: (await self.player.one.http.get(file["url"])).content for file in listed}
            assert job.files in (None, files)
            job.files = files
            _account(job, files)

    def teardown(self) -> None:
        try:
            self.loop.run(self._drive_to_the_end())
        finally:
            self.loop.run(self.stack.aclose())
            self.loop.close()
            self.folder.cleanup()

    async def _drive_to_the_end(self) -> None:
        """All jobs end by the means of the platform alone, and long before their deadline makes them."""
        for seconds in [301, 1900] * 10:
            if not all(job.final for job in self.player.jobs):
                await self._go_on(seconds)
        assert all(job.final for job in self.player.jobs), self.player.jobs
        await self._go_on(90_000)  # after a day there is still nothing to change
        for job in self.player.jobs:
            assert job.final
            assert job.final["prompt_count"] == job.final["completed_count"] + job.final["failed_count"]
            code = job.final["error"] and job.final["error"]["code"]
            assert code in REASONS.get(job.status, {None})
            assert job.cancel_taken or job.status != "CANCELLED"
            await self._fetch(job)

    async def _go_on(self, seconds: int) -> None:
        self.player.clock.move(seconds)
        await sweep(self.player.one.app)
        await self.player.deliver_all()
        await self._look(self.player.jobs)


def _reachable(status: str) -> set[str]:
    """A status and all that may come after it."""
    return {status}.union(*(_reachable(following) for following in TRANSITIONS[Status(status)]))


def _account(job: Known, files: dict[str, bytes]) -> None:
    """Each line of the input has one line in the results or the errors, in order, and it is the right one."""
    assert job.content is not None
    assert job.final is not None
    asked = lines_asked(job.content)
    place = {name: line for line, name in asked.items() if name}
    results = [line for name in sorted(files) if name != "errors.jsonl" for line in lines_of(files[name])]
    errors = lines_of(files["errors.jsonl"])
    answered, failed = [place[line["prompt_id"]] for line in results], [line["line"] for line in errors]
    assert answered == sorted(answered)
    assert failed == sorted(failed)
    assert sorted(answered + failed) == list(asked)
    assert (len(answered), len(failed)) == (job.final["completed_count"], job.final["failed_count"])
    assert len(asked) == job.final["prompt_count"]
    for line in results:
        assert line["result"].endswith(f"/{line['prompt_id'][3:]} HELLO")
    if job.cancel_taken and job.status == "CANCELLED":
        answerable = {line["error"] for line in errors if asked[line["line"]]}
        assert answerable <= {"cancelled", "provider_error", "prompt_rejected", "worker_crash"}


TestGame = TwoClientMachine.TestCase
TestGame.settings = settings(
    max_examples=int(EXAMPLES or 40),
    stateful_step_count=30,
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
