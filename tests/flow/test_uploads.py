"""The signed URLs: used once, in time, unchanged."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.clock import HandClock
from tests.support.machine import machine, prompts


async def test_a_second_upload_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        ticket = await one.init()
        first = await one.put(ticket["upload_url"], prompts(2))
        for content in (prompts(3), prompts(2)):
            second = await one.put(ticket["upload_url"], content)
            assert (second.status_code, second.json()["code"]) == (403, "already_uploaded")
        await one.until_ended(ticket["job_id"])

        assert first.status_code == 200
        assert len(await one.results(ticket["job_id"])) == 2


async def test_an_upload_after_the_url_expired_is_refused(tmp_path: Path) -> None:
    clock = HandClock()
    async with machine(tmp_path, clock) as one:
        ticket = await one.init()
        clock.move(15 * 60)
        late = await one.put(ticket["upload_url"], prompts(1))

    assert (late.status_code, late.json()["code"]) == (403, "url_expired")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("signature=", "signature=0"),
        ("expires=1", "expires=2"),
        ("input.jsonl", "other.jsonl"),
        ("/uploads/", "/results/"),
    ],
)
async def test_a_changed_url_is_refused(tmp_path: Path, old: str, new: str) -> None:
    async with machine(tmp_path) as one:
        url = (await one.init())["upload_url"]
        changed = await one.put(url.replace(old, new, 1), prompts(1))

    assert (changed.status_code, changed.json()["code"]) == (403, "bad_signature")


async def test_an_upload_url_cannot_be_read_and_a_result_url_cannot_be_written(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        ticket = await one.init()
        await one.put(ticket["upload_url"], prompts(1))
        await one.until_ended(ticket["job_id"])
        reply = await one.http.get(f"/v1/jobs/{ticket['job_id']}/results", headers=one.headers)
        result_url = reply.json()["files"][0]["url"]

        assert (await one.http.get(ticket["upload_url"])).status_code == 403
        assert (await one.put(result_url, b"mine")).status_code == 403
        ranged = await one.http.get(result_url, headers={"Range": "bytes=0-10"})
        assert (ranged.status_code, ranged.content) == (206, b'{"prompt_id')


async def test_a_file_over_the_limit_is_refused_whether_or_not_it_says_its_length(tmp_path: Path) -> None:
    async def unsaid() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with machine(tmp_path, max_upload_bytes=1000) as one:
        url = (await one.init())["upload_url"]
        for content in (b"x" * 1001, unsaid()):
            refused = await one.http.put(url, content=content)
            assert (refused.status_code, refused.json()["code"]) == (413, "upload_too_large")
        assert (await one.put(url, prompts(2))).status_code == 200


async def test_a_result_url_expires(tmp_path: Path) -> None:
    clock = HandClock()
    async with machine(tmp_path, clock) as one:
        job_id = await one.run(prompts(1))
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
        clock.move(60 * 60)
        late = await one.http.get(reply.json()["files"][0]["url"])

    assert (late.status_code, late.json()["code"]) == (403, "url_expired")


async def test_results_before_the_end_are_a_conflict(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)

    assert (reply.status_code, reply.json()["code"]) == (409, "not_finished")


async def test_a_job_without_an_upload_ends_failed(tmp_path: Path) -> None:
    clock = HandClock()
    async with machine(tmp_path, clock) as one:
        job_id = (await one.init())["job_id"]
        clock.move(15 * 60 + 3601)
        ended = await one.until_ended(job_id)
        late = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)

    assert (ended.status, ended.error and ended.error.code) == ("FAILED", "upload_expired")
    assert late.status_code == 409
