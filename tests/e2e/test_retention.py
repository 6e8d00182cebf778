"""The id of a deleted job, and the end of the retention time."""

from pathlib import Path

import httpx

from tests.harness.clock import ManualClock
from tests.harness.erasing import advance, wait_until_erased
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts


async def _post_init(one: InProcessStack, idempotency_key: str) -> httpx.Response:
    headers = {**one.headers, "Idempotency-Key": idempotency_key}
    return await one.http.post("/v1/jobs/init", json={"provider": "echo", "model": "m"}, headers=headers)


async def test_idempotency_key_of_deleted_job_is_rejected_until_the_job_is_erased(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        first = (await _post_init(one, "k-1")).json()
        await one.delete(first["job_id"])
        refused = await _post_init(one, "k-1")
        other = await _post_init(one, "k-2")
        await wait_until_erased(one, clock)
        again = await _post_init(one, "k-1")
        await one.put(again.json()["upload_url"], prompts(2))
        await one.wait_until_finished(again.json()["job_id"])

        assert (refused.status_code, refused.json()["code"]) == (409, "job_deleted")
        assert other.status_code == 202
        assert again.json()["job_id"] == first["job_id"]
        assert len(await one.results(first["job_id"])) == 2


async def test_expired_jobs_are_erased_by_the_sweep(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, retention_days=30, job_seconds=3600) as one:
        job_id = await one.run(prompts(3))
        unused = (await one.init())["job_id"]
        await advance(one, clock, 30 * 24 * 3600)
        assert len(await one.results(job_id)) == 3
        younger = await one.run(prompts(2))
        await wait_until_erased(one, clock)

        assert await one.remaining_data(job_id) == await one.remaining_data(unused) == []
        assert len(await one.results(younger)) == 2


async def test_expired_job_is_replaced_by_a_tombstone_at_the_first_sweep(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, retention_days=2, job_seconds=3600) as one:
        created = (await _post_init(one, "k-1")).json()
        job_id = created["job_id"]
        await one.put(created["upload_url"], prompts(1))
        await one.wait_until_finished(job_id)
        clock.advance(2 * 24 * 3600 + 3601)
        late = await _post_init(one, "k-1")
        await advance(one, clock, 0)

        assert (late.status_code, late.json()["code"]) == (409, "job_deleted")
        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]
