"""The admission of calls: breaker, limits, cost budget, storage, slot and lease, with a second check."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from promptforge.domain.job import COST_LIMIT, COST_UNKNOWN, JobError
from promptforge.domain.retry import FailureKind
from promptforge.domain.timeouts import COST_UNKNOWN_SECONDS
from promptforge.errors import LeaseLost, Unavailable
from promptforge.ports.provider import CallFailure, Completion
from promptforge.worker.admission import Admission
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.stop_signal import JobStopped, Release
from tests.fakes.faulty_documents import SlowSums, UnavailableWrites
from tests.harness.chunk_scenario import LEASE_SECONDS, ChunkScenario, chunk_scenario
from tests.harness.context import replaced_adapters
from tests.harness.lines import prompts

COMPLETION = Completion("Yes.", "m", 1, 2)
PROMPT = ("job", 1)
THROTTLED = CallFailure(FailureKind.THROTTLED, "throttled", "Wait.", 100.0)
LIMIT_NANOS = 10**9


class ControlledSlots:
    """Call slots that record a request and grant it once `granted` is set."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.granted = asyncio.Event()
        self.in_use = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        self.requested.set()
        await self.granted.wait()
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1


@dataclass
class Setup:
    """The admission of one claimed chunk, whose job has a cost limit, and its parts."""

    scenario: ChunkScenario
    documents: SlowSums
    run: ChunkRun
    breaker: CircuitBreaker
    slots: ControlledSlots
    admission: Admission

    async def admits(self) -> bool:
        """Return whether a call is admitted; it ends at once."""
        async with asyncio.timeout(20), self.admission.acquire(self.breaker) as permit:
            return permit is not None

    async def wait_for_slot(self) -> "asyncio.Task[bool]":
        """Return a request that has passed breaker and budget and waits for its slot."""
        request = asyncio.create_task(self.admits())
        await self.slots.requested.wait()
        return request

    def grant(self) -> None:
        self.slots.granted.set()


@asynccontextmanager
async def setup(folder: Path, **settings: Any) -> AsyncIterator[Setup]:
    async with chunk_scenario(folder, prices={"openai/m": (1.0, 1.0)}, **settings) as scenario:
        job_id = await scenario.submit(prompts(3), model="m", max_cost_usd=1)
        documents = SlowSums(scenario.stack.context.documents)
        async with replaced_adapters(scenario.stack, documents=documents):
            run, slots = await scenario.claim(job_id), ControlledSlots()
            breaker = scenario.stack.runtime.circuit_breaker("openai", "m")
            admission = Admission(run, slots)
            yield Setup(scenario, documents, run, breaker, slots, admission)


async def test_admission_permit_counts_the_call_and_holds_its_slot_until_the_end(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        s.grant()
        assert not s.run.attempts.called
        async with s.admission.acquire(s.breaker) as permit:
            assert permit is not None
            assert (s.run.attempts.called, s.slots.in_use) == (True, 1)
            assert s.breaker.is_blocked(permit.began_at)  # the first call is a probe
            outcome = permit.record(PROMPT, COMPLETION)
            assert (outcome.breaker, outcome.failure_run, outcome.overload) == (s.breaker, None, False)
            assert outcome.seconds >= 0.0
            assert not s.breaker.is_blocked(permit.began_at)

        assert s.slots.in_use == 0
        assert s.documents.sum_count == 1


async def test_admission_waits_for_the_probe_before_budget_and_slot(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        s.grant()
        with s.breaker.call():
            request = asyncio.create_task(s.admits())
            for _ in range(5):
                await asyncio.sleep(0)
            assert (s.documents.sum_count, s.slots.requested.is_set(), request.done()) == (0, False, False)

        assert await request


async def test_admission_waits_for_the_concurrency_of_the_job_before_budget_and_slot(tmp_path: Path) -> None:
    async with setup(tmp_path, max_in_flight=1) as s:
        s.grant()
        with s.run.runtime.job_limit(s.run.job).call():
            request = asyncio.create_task(s.admits())
            for _ in range(5):
                await asyncio.sleep(0)
            assert (s.documents.sum_count, s.slots.requested.is_set(), request.done()) == (0, False, False)

        assert await request


async def test_admission_waits_for_the_concurrency_of_the_model_before_budget_and_slot(tmp_path: Path) -> None:
    async with setup(tmp_path, max_in_flight=1) as s:
        s.grant()
        with s.breaker.concurrency.call():
            request = asyncio.create_task(s.admits())
            for _ in range(5):
                await asyncio.sleep(0)
            assert (s.documents.sum_count, s.slots.requested.is_set(), request.done()) == (0, False, False)

        assert await request


async def test_admission_waits_for_the_storage_before_budget_and_slot(tmp_path: Path) -> None:
    async with setup(tmp_path, flush_seconds=60) as s:
        s.grant()
        s.run.runtime.storage.failed(Unavailable("documents", "locked"))
        request = asyncio.create_task(s.admits())
        for _ in range(5):
            await asyncio.sleep(0)
        assert (s.documents.sum_count, s.slots.requested.is_set(), request.done()) == (0, False, False)
        s.run.runtime.storage.succeeded()

        assert await request


async def test_admission_stopped_during_the_wait_for_the_storage_is_refused(tmp_path: Path) -> None:
    async with setup(tmp_path, flush_seconds=60) as s:
        s.run.runtime.storage.failed(Unavailable("documents", "locked"))
        request = asyncio.create_task(s.admits())
        for _ in range(5):
            await asyncio.sleep(0)
        s.run.stop.release_at()

        assert not await request
        assert not s.slots.requested.is_set()


async def test_admission_with_long_throttle_releases_the_chunk_without_a_wait(tmp_path: Path) -> None:
    async with setup(tmp_path, max_inline_wait_seconds=0.1) as s:
        s.breaker.throttled(0.0, asyncio.get_running_loop().time(), THROTTLED)

        assert not await s.admits()
        assert isinstance(s.run.stop.reason, Release)
        assert s.scenario.clock.time + 90 < s.run.stop.reason.resume_at <= s.scenario.clock.time + 100
        assert s.run.stop.reason.waiting_for == JobError(code="throttled", message="Wait.")
        assert not s.slots.requested.is_set()


async def test_admission_with_spent_budget_stops_the_job_before_the_slot(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        s.run.attempts.add_cost(LIMIT_NANOS)

        assert not await s.admits()
        assert s.run.stop.reason == JobStopped(COST_LIMIT)
        assert not s.slots.requested.is_set()


async def test_admission_with_unknown_cost_releases_the_chunk_before_the_slot(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        s.documents.unavailable = True

        assert not await s.admits()
        assert s.run.stop.reason == Release(s.scenario.clock.time + COST_UNKNOWN_SECONDS, COST_UNKNOWN)
        assert not s.slots.requested.is_set()


async def test_admission_renews_an_expired_lease_only_with_a_slot(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        before, claimed_at = s.run.lease.chunk, s.scenario.clock.time
        request = await s.wait_for_slot()
        s.scenario.clock.advance(LEASE_SECONDS)
        await asyncio.sleep(0)
        assert await s.scenario.chunk(s.run.job.job_id) == before
        s.grant()

        assert await request
        renewed = await s.scenario.chunk(s.run.job.job_id)
        assert renewed.due_at == claimed_at + 2 * LEASE_SECONDS


async def test_admission_with_breaker_blocked_during_the_wait_for_a_slot_is_refused(tmp_path: Path) -> None:
    async with setup(tmp_path, max_inline_wait_seconds=0.1) as s:
        request = await s.wait_for_slot()
        s.breaker.throttled(0.0, asyncio.get_running_loop().time(), THROTTLED)
        s.grant()

        assert not await request
        assert isinstance(s.run.stop.reason, Release)
        assert s.run.stop.reason.waiting_for == JobError(code="throttled", message="Wait.")
        assert (s.slots.in_use, s.run.attempts.called) == (0, False)


async def test_admission_with_budget_spent_during_the_wait_for_a_slot_is_refused(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        request = await s.wait_for_slot()
        s.run.attempts.add_cost(LIMIT_NANOS)
        s.grant()

        assert not await request
        assert s.run.stop.reason == JobStopped(COST_LIMIT)
        assert (s.slots.in_use, s.run.attempts.called) == (0, False)


async def test_admission_stopped_during_the_wait_for_a_slot_renews_nothing(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        before = s.run.lease.chunk
        request = await s.wait_for_slot()
        s.run.stop.release_at()
        s.scenario.clock.advance(LEASE_SECONDS + 1)
        s.grant()

        assert not await request
        assert await s.scenario.chunk(s.run.job.job_id) == before
        assert (s.slots.in_use, s.run.attempts.called) == (0, False)


async def test_admission_with_lease_lost_during_the_wait_for_a_slot_raises(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        request = await s.wait_for_slot()
        s.scenario.clock.advance(LEASE_SECONDS + 1)
        await s.scenario.claim(s.run.job.job_id)
        s.grant()

        with pytest.raises(LeaseLost):
            await request
        assert (s.slots.in_use, s.run.attempts.called) == (0, False)
        assert not s.breaker.is_blocked(asyncio.get_running_loop().time())  # its probe has ended


async def test_admission_without_a_stored_lease_releases_the_chunk(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        documents = UnavailableWrites(s.scenario.stack.context.documents)
        async with replaced_adapters(s.scenario.stack, documents=documents):
            run = await s.scenario.claim(await s.scenario.submit(prompts(1)))
            s.scenario.clock.advance(LEASE_SECONDS)
            documents.rejections = 1
            assert not await s.scenario.admits_call(run)

        assert (run.stop.reason, documents.rejections) == (Release(), 0)
