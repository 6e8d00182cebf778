"""Creating a job: the stored job, the checks of the request, and the Idempotency-Key."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from promptforge.api.create_job import CreateJobRequest, CreateJobResponse, create_job
from promptforge.domain.commands import SweepJobs
from promptforge.domain.job import Status
from promptforge.domain.timeouts import UPLOAD_CHECK_SECONDS, UPLOAD_GRACE_SECONDS
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.queue_entries import QueueEntry, queue_entries
from tests.harness.request_errors import request_error


def request(**fields: Any) -> CreateJobRequest:
    return CreateJobRequest(**{"provider": "echo", "model": "m", **fields})


async def create(
    one: InProcessStack, key: str | None = None, client: str = "tests", **fields: Any
) -> CreateJobResponse:
    return await create_job(one.context, client, request(**fields), key)


async def test_create_job_stores_the_request_and_the_times(tmp_path: Path) -> None:
    clock = ManualClock(1000.5)
    settings: dict[str, Any] = {"job_seconds": 3600, "retention_days": 1, "prices": {"echo/*": (1.0, 2.0)}}
    async with in_process_stack(tmp_path, clock, **settings) as one:
        response = await create(one, system="Be brief.", max_retries=5, max_cost_usd=0.5)
        job = await one.job(response.job_id)

    assert (job.status, job.client, job.provider, job.model) == (Status.AWAITING_UPLOAD, "tests", "echo", "m")
    assert (job.max_retries, job.params.system, job.price, job.max_cost_nanos) == (
        5,
        "Be brief.",
        (1.0, 2.0),
        5 * 10**8,
    )
    assert (job.created_at, job.due_at) == (1000.5, 1000.5 + UPLOAD_CHECK_SECONDS)
    assert (job.upload_expires_at, job.deadline_at, job.expire_at) == (1900.0, 4600.5, 4600 + 24 * 3600)


async def test_create_job_returns_an_upload_url_that_expires(tmp_path: Path) -> None:
    clock = ManualClock(1000.5)
    async with in_process_stack(tmp_path, clock) as one:
        response = await create(one)
        clock.advance(900)
        late = await one.put(response.upload_url, b"")

    assert response.model_dump(mode="json")["expires_at"] == "1970-01-01T00:31:40.000Z"
    assert (late.status_code, late.json()["code"]) == (403, "url_expired")


async def test_create_job_schedules_one_upload_check(tmp_path: Path) -> None:
    clock = ManualClock(1000.5)
    async with in_process_stack(tmp_path, clock) as one:
        for _ in range(2):
            response = await create(one, key="k")
        entries = await queue_entries(one, "queue:sweeper")

    body = SweepJobs(job_id=response.job_id).encode()
    assert entries == [QueueEntry("queue:sweeper", body, 1900.0 + UPLOAD_GRACE_SECONDS)]


async def test_create_job_id_is_a_uuid_that_is_random_or_derived_from_the_key(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_ids = [(await create(one, key=key)).job_id for key in (None, None, "k-1")]

    assert [UUID(job_id).version for job_id in job_ids] == [4, 4, 8]
    assert [str(UUID(job_id)) for job_id in job_ids] == job_ids
    assert len(set(job_ids)) == 3


async def test_create_job_with_the_same_key_returns_the_same_response(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        first, again = [await create(one, key="k") for _ in range(2)]
        others = [await create(one, key="l"), await create(one, key="k", client="alice"), await create(one)]

    assert first == again
    assert len({response.job_id for response in (first, *others)}) == 4


async def test_create_job_with_a_used_key_and_another_body_is_refused(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        await create(one, key="k")
        error = await request_error(create(one, key="k", model="other"))

    assert error.code == "idempotency_key_reused"


async def test_create_job_with_the_key_of_a_deleted_or_expired_job_is_refused(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, retention_days=1, job_seconds=3600) as one:
        await one.delete((await create(one, key="deleted")).job_id)
        await create(one, key="expired")
        clock.advance(24 * 3600 + 3600)
        errors = [await request_error(create(one, key=key)) for key in ("deleted", "expired")]

    assert [error.code for error in errors] == ["job_deleted"] * 2


@pytest.mark.parametrize(
    ("fields", "key", "code", "named"),
    [
        ({}, "", "invalid_idempotency_key", "Idempotency-Key"),
        ({}, "a b", "invalid_idempotency_key", "Idempotency-Key"),
        ({"provider": "nobody"}, None, "unsupported_provider", "echo"),
        ({"provider": "openai"}, None, "provider_not_configured", "OPENAI_API_KEY"),
        ({"provider": "anthropic", "seed": 1}, None, "unsupported_parameter", "seed"),
        ({"max_cost_usd": 1.0}, None, "price_unknown", "max_cost_usd"),
        (
            {"response_format": {"type": "json_schema", "schema": {"type": 5}}},
            None,
            "invalid_field",
            "response_format.schema",
        ),
    ],
)
async def test_create_job_with_an_invalid_request_is_refused_and_stores_nothing(
    tmp_path: Path, fields: dict[str, Any], key: str | None, code: str, named: str
) -> None:
    async with in_process_stack(tmp_path, provider_keys={"anthropic": "k"}) as one:
        error = await request_error(create(one, key=key, **fields))

        assert error.code == code
        assert named in error.detail
        assert await one.context.jobs.count_active("tests") == 0
        assert await queue_entries(one, "queue:sweeper") == []


async def test_create_job_above_the_active_jobs_limit_is_refused_unless_repeated(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_active_jobs=1) as one:
        first = await create(one, key="k")
        error = await request_error(create(one))

        assert (error.code, error.retry_after) == ("too_many_jobs", 30)
        assert await create(one, key="k") == first
        assert (await create(one, client="alice")).job_id != first.job_id
