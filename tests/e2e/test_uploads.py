"""Signed URLs: valid once, until their expiry, and unchanged."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts


async def test_upload_second_put_is_rejected_and_first_is_kept(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job = await one.init()
        first = await one.put(job["upload_url"], prompts(2))
        for content in (prompts(3), prompts(2)):
            second = await one.put(job["upload_url"], content)
            assert (second.status_code, second.json()["code"]) == (403, "already_uploaded")
        await one.wait_until_finished(job["job_id"])

        assert first.status_code == 200
        assert len(await one.results(job["job_id"])) == 2


async def test_upload_after_expiry_is_rejected(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job = await one.init()
        clock.advance(15 * 60)
        late = await one.put(job["upload_url"], prompts(1))

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
async def test_upload_changed_url_is_rejected(tmp_path: Path, old: str, new: str) -> None:
    async with in_process_stack(tmp_path) as one:
        url = (await one.init())["upload_url"]
        changed = await one.put(url.replace(old, new, 1), prompts(1))

    assert (changed.status_code, changed.json()["code"]) == (403, "bad_signature")


async def test_signed_url_other_method_is_rejected(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job = await one.init()
        await one.put(job["upload_url"], prompts(1))
        await one.wait_until_finished(job["job_id"])
        reply = await one.http.get(f"/v1/jobs/{job['job_id']}/results", headers=one.headers)
        result_url = reply.json()["files"][0]["url"]

        assert (await one.http.get(job["upload_url"])).status_code == 403
        assert (await one.put(result_url, b"mine")).status_code == 403
        ranged = await one.http.get(result_url, headers={"Range": "bytes=0-10"})
        assert (ranged.status_code, ranged.content) == (206, b'{"prompt_id')


async def test_upload_over_limit_is_rejected_with_and_without_content_length(tmp_path: Path) -> None:
    async def without_length() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with in_process_stack(tmp_path, max_upload_bytes=1000) as one:
        url = (await one.init())["upload_url"]
        for content in (b"x" * 1001, without_length()):
            rejected = await one.http.put(url, content=content)
            assert (rejected.status_code, rejected.json()["code"]) == (413, "upload_too_large")
        assert (await one.put(url, prompts(2))).status_code == 200


async def test_download_after_expiry_is_rejected(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.run(prompts(1))
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
        clock.advance(60 * 60)
        late = await one.http.get(reply.json()["files"][0]["url"])

    assert (late.status_code, late.json()["code"]) == (403, "url_expired")


async def test_download_range_returns_part_and_bad_range_problem_details(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(1))
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
        url = reply.json()["files"][0]["url"]
        whole = await one.http.get(url)
        part = await one.http.get(url, headers={"Range": "bytes=2-5"})
        bad = [await one.http.get(url, headers={"Range": given}) for given in ("bytes=9999-", "lines=1-2", "bytes=5-2")]

    assert (part.status_code, part.content) == (206, whole.content[2:6])
    assert [reply.status_code for reply in bad] == [416, 400, 400]
    assert {reply.json()["code"] for reply in bad} == {"bad_range"}
    assert {reply.headers["content-type"] for reply in bad} == {"application/problem+json"}
    assert bad[0].headers["content-range"] == f"bytes */{len(whole.content)}"


async def test_download_of_missing_file_returns_internal_error(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(1))
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
        for path in (tmp_path / "objects" / "results").iterdir():
            path.unlink()
        lost = await one.http.get(reply.json()["files"][0]["url"])

    assert (lost.status_code, lost.json()["code"]) == (500, "internal_error")


async def test_results_of_unfinished_job_returns_409(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)

    assert (reply.status_code, reply.json()["code"]) == (409, "not_finished")


async def test_job_without_upload_fails_after_expiry(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = (await one.init())["job_id"]
        clock.advance(15 * 60 + 3601)
        ended = await one.wait_until_finished(job_id)
        late = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)

    assert (ended.status, ended.error and ended.error.code) == ("FAILED", "upload_expired")
    assert late.status_code == 409
