"""What becomes of a job's id when the job is deleted, and of a job when its time is over."""

from pathlib import Path

import httpx
from tests.harness.clock import HandClock
from tests.harness.erasing import wait_until_erased
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.pipeline.sweep import sweep


async def _open(one: InProcessStack, key: str) -> httpx.Response:
    headers = {**one.headers, "Idempotency-Key": key}
    return await one.http.post("/v1/jobs/init", json={"provider": "echo", "model": "m"}, headers=headers)


async def test_the_idempotency_key_of_a_deleted_job_is_free_again_when_nothing_of_it_is_left(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        first = (await _open(one, "k-1")).json()
        await one.delete(first["job_id"])
        refused = await _open(one, "k-1")
        other = await _open(one, "k-2")
        await wait_until_erased(one, clock)
        again = await _open(one, "k-1")
        await one.put(again.json()["upload_url"], prompts(2))
        await one.until_ended(again.json()["job_id"])

        assert (refused.status_code, refused.json()["code"]) == (409, "job_deleted")
        assert other.status_code == 202
        assert again.json()["job_id"] == first["job_id"]
        assert len(await one.results(first["job_id"])) == 2


async def test_a_job_whose_time_is_over_is_erased_without_being_asked_for(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, retention_days=30, job_seconds=3600) as one:
        job_id = await one.run(prompts(3))
        unused = (await one.init())["job_id"]
        clock.move(30 * 24 * 3600)
        await sweep(one.app)
        await one.deliver_all()
        assert len(await one.results(job_id)) == 3
        kept = await one.run(prompts(2))
        await wait_until_erased(one, clock)

        assert await one.remains(job_id) == await one.remains(unused) == []
        assert len(await one.results(kept)) == 2


async def test_a_forgotten_job_is_erased_at_the_first_look_but_for_its_place(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, retention_days=2, job_seconds=3600) as one:
        ticket = (await _open(one, "k-1")).json()
        await one.put(ticket["upload_url"], prompts(1))
        await one.until_ended(ticket["job_id"])
        clock.move(2 * 24 * 3600 + 3601)
        late = await _open(one, "k-1")
        await sweep(one.app)
        await one.deliver_all()

        assert (late.status_code, late.json()["code"]) == (409, "job_deleted")
        assert await one.remains(ticket["job_id"]) == [f"jobs/{ticket['job_id']}"]
