"""Authentication, and jobs that belong to the client."""

from pathlib import Path

import pytest

from promptforge.api.auth import MAX_KEY_LENGTH, authenticate, get_owned_job
from promptforge.domain.limits.token_bucket import TokenBuckets
from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts
from tests.harness.request_errors import request_error

UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def test_authenticate_valid_key_returns_its_client(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        assert await authenticate(one.context, one.key) == "tests"


async def test_authenticate_any_invalid_key_raises_the_same_error(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        revoked = await one.context.api_keys.create("alice")
        await one.context.api_keys.revoke("alice", None)
        mistyped = one.key[:-1] + ("0" if one.key[-1] != "0" else "1")
        keys = (None, "", "unknown", revoked, mistyped, "x" * MAX_KEY_LENGTH, "x" * (MAX_KEY_LENGTH + 1))
        errors = [await request_error(authenticate(one.context, key)) for key in keys]

    assert {(error.code, error.retry_after) for error in errors} == {("invalid_api_key", None)}
    assert len({error.detail for error in errors}) == 1


async def test_authenticate_above_the_request_rate_limit_names_the_seconds_to_wait(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path) as one:
        one.context.request_limits = TokenBuckets(0.4, clock.now)
        for key in (one.key, "unknown"):
            for _ in range(4):
                one.context.request_limits.take(one.context.api_keys.hash(key))
        errors = [await request_error(authenticate(one.context, key)) for key in (one.key, "unknown")]
        clock.advance(2.5)
        client = await authenticate(one.context, one.key)

    assert [(error.code, error.retry_after) for error in errors] == [("rate_limited", 3)] * 2
    assert client == "tests"


async def test_get_owned_job_of_its_client_returns_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]

        assert await get_owned_job(one.context, "tests", job_id) == await one.job(job_id)


async def test_get_owned_job_unknown_or_of_another_client_raises_the_same_error(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id, deleted = (await one.init())["job_id"], (await one.init())["job_id"]
        await one.delete(deleted)
        requests = [("alice", job_id)]
        requests += [
            ("tests", name)
            for name in ("", "00000000-0000-4000-8000-000000000000", job_id.upper(), f"{job_id}/chunks", deleted)
        ]
        errors = [await request_error(get_owned_job(one.context, *request)) for request in requests]

    assert {error.code for error in errors} == {"job_not_found"}
    assert len({error.detail for error in errors}) == 1


@pytest.mark.parametrize(("seconds", "found"), [(2 * 24 * 3600 + 3599, True), (2 * 24 * 3600 + 3600, False)])
async def test_get_owned_job_expired_is_not_found(tmp_path: Path, seconds: int, found: bool) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, retention_days=2, job_seconds=3600) as one:
        job_id = await one.run(prompts(1))
        clock.advance(seconds)
        if found:
            assert await get_owned_job(one.context, "tests", job_id) == await one.job(job_id)
        else:
            assert (await request_error(get_owned_job(one.context, "tests", job_id))).code == "job_not_found"
