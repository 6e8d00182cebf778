"""Daily spend quotas: reserved in the commit that creates a job, released in the commit that finishes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptforge.context import AppContext
from promptforge.domain.job import CANCELLED, Job, JobTotals
from promptforge.domain.timestamps import DAY_SECONDS
from promptforge.ports.documents import Write
from promptforge.state.spend_quotas import SpendQuotaStore
from tests.harness.in_process import in_process_stack
from tests.harness.request_errors import request_error

NOON = 1_800_000_000.0 // DAY_SECONDS * DAY_SECONDS + DAY_SECONDS / 2
USD = 10**9
"""A dollar in nano-dollars."""


def job(number: int = 0, created_at: float = NOON, **fields: Any) -> Job:
    return Job(
        **{
            "job_id": f"00000000-0000-4000-8000-{number:012}",
            "client": "alice",
            "provider": "openai",
            "model": "m",
            "max_retries": 0,
            "created_at": created_at,
            "upload_expires_at": created_at,
            "request_digest": "",
            "due_at": created_at,
            "deadline_at": created_at,
            "price": (1.0, 2.0),
            **fields,
        }
    )


@asynccontextmanager
async def quotas(folder: Path, usd_per_day: float | None = 10) -> AsyncIterator[tuple[AppContext, SpendQuotaStore]]:
    """Yield the store of a context in which alice has a daily limit."""
    async with in_process_stack(folder) as one:
        await one.context.quotas.set_daily_limit("alice", usd_per_day)
        yield one.context, one.context.quotas


async def reserve(context: AppContext, new: Job) -> Job:
    """Create the job with its reservation."""
    limited, writes = await context.quotas.reserve(new, 0)
    assert await context.jobs.create(limited, writes) == limited
    return limited


async def commit(context: AppContext, writes: Sequence[Write]) -> None:
    if writes:
        await context.documents.commit(writes)


async def test_reserve_without_a_limit_reserves_nothing(tmp_path: Path) -> None:
    async with quotas(tmp_path, usd_per_day=None) as (_, store):
        assert await store.reserve(job(price=None), 0) == (job(price=None), [])
        assert await store.reserve(job(client="no quota"), 0) == (job(client="no quota"), [])


async def test_reserve_takes_the_cost_limit_or_the_rest_of_the_quota(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (context, _):
        first = await reserve(context, job(1, max_cost_nanos=4 * USD))
        rest = await reserve(context, job(2, max_cost_nanos=8 * USD))

    assert (first.max_cost_nanos, rest.max_cost_nanos) == (4 * USD, 6 * USD)
    assert first.quota_day == rest.quota_day == "2027-01-15"


async def test_reserve_for_a_model_without_price_is_refused(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (_, store):
        error = await request_error(store.reserve(job(price=None), 0))

    assert error.code == "price_unknown"
    assert "model m" in error.detail


@pytest.mark.parametrize(("active_jobs", "retry_after"), [(0, DAY_SECONDS // 2), (1, 30)])
async def test_reserve_of_exhausted_quota_names_the_time_of_the_next_attempt(
    tmp_path: Path, active_jobs: int, retry_after: int
) -> None:
    async with quotas(tmp_path) as (context, store):
        await reserve(context, job(1))
        error = await request_error(store.reserve(job(2), active_jobs))

    assert (error.code, error.retry_after) == ("spend_limit", retry_after)


async def test_reserve_on_the_next_day_starts_with_the_whole_quota(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (context, _):
        await reserve(context, job(1))
        tomorrow = await reserve(context, job(2, created_at=NOON + DAY_SECONDS))

    assert (tomorrow.max_cost_nanos, tomorrow.quota_day) == (10 * USD, "2027-01-16")


async def test_release_unused_returns_what_the_job_did_not_cost(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (context, store):
        limited = await reserve(context, job(1))
        spent = limited.with_totals(JobTotals(cost_nanos=3 * USD))
        await commit(context, await store.release_unused(spent))
        again = await reserve(context, job(2))

    assert again.max_cost_nanos == 7 * USD


async def test_release_unused_of_job_that_cost_more_reserves_the_difference(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (context, store):
        limited = await reserve(context, job(1, max_cost_nanos=4 * USD))
        await commit(context, await store.release_unused(limited.with_totals(JobTotals(cost_nanos=5 * USD))))
        again = await reserve(context, job(2))

    assert again.max_cost_nanos == 5 * USD


async def test_release_unused_on_another_day_or_without_reservation_writes_nothing(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (context, store):
        old = await reserve(context, job(1))
        await reserve(context, job(2, created_at=NOON + DAY_SECONDS))

        assert await store.release_unused(old) == []
        assert await store.release_unused(job(3)) == []


async def test_finished_job_releases_its_reservation_in_the_same_commit(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (context, _):
        limited = await reserve(context, job(1))
        await context.jobs.update(limited.job_id, lambda job: job.finished(CANCELLED, NOON))
        again = await reserve(context, job(2))

    assert again.max_cost_nanos == 10 * USD


async def test_set_daily_limit_keeps_what_is_reserved(tmp_path: Path) -> None:
    async with quotas(tmp_path) as (context, store):
        await reserve(context, job(1, max_cost_nanos=4 * USD))
        await store.set_daily_limit("alice", 5)
        rest = await reserve(context, job(2))

    assert rest.max_cost_nanos == USD


async def test_set_daily_limit_called_twenty_times_at_once_succeeds(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        await asyncio.gather(*[one.context.quotas.set_daily_limit("alice", usd) for usd in [7] * 20])
        limited = await reserve(one.context, job())

    assert limited.max_cost_nanos == 7 * USD
