"""The checks in their order.

The summary of each docstring is its description in the output.

`check_job` creates the first job, which later checks use.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from promptforge.client.verify import verify
from promptforge.engine.load_functions import EVENT_FUNCTIONS
from tests.harness.lines import prompts
from tests.smoke.deployment import (
    GOOGLE,
    UPLOAD_HEADERS,
    CheckFailed,
    CheckSkipped,
    Deployment,
    StorageKind,
    bucket_of,
    unsigned,
)

PROMPTS = 100
JOB_SECONDS = 300
POLL_SECONDS = 1
CLOCK_MARGIN_SECONDS = 2
UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"
JOB_CALLS = (
    ("GET", "status", "/status"),
    ("GET", "results", "/results"),
    ("POST", "cancel", "/cancel"),
    ("DELETE", "delete", ""),
)
TAMPERED = {
    "the signature": r"(?i)(signature=)(\w)",
    "the job": r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-)([0-9a-f])",
    "the time": r"(?i)(expires=)(\d)",
}

Check = Callable[[Deployment], Awaitable[None]]


async def check_health(deployment: Deployment) -> None:
    """Check that /health requires no key."""
    response = await deployment.send("GET", deployment.url_of("init", "/health"))
    if response.status != 200:
        raise CheckFailed(f"it returned {response.status}")


async def check_keys(deployment: Deployment) -> None:
    """Check that every call of the API without a valid key returns 401."""
    for key in ("", "wrong"):
        for method, function, path in (
            ("POST", "init", "init"),
            *((method, function, UNKNOWN_JOB + suffix) for method, function, suffix in JOB_CALLS),
        ):
            status = (await deployment.call(method, function, path, key)).status
            if status != 401:
                raise CheckFailed(f"{function} returned {status}")


async def check_job(deployment: Deployment) -> None:
    """Check that a job of 100 prompts completes and verifies."""
    file, home = deployment.folder / "prompts.jsonl", deployment.folder / "home"
    file.write_bytes(prompts(PROMPTS))
    home.mkdir()
    async with deployment.client() as client, asyncio.timeout(JOB_SECONDS):
        job = await client.init("echo", "echo-1")
        deployment.job_id, deployment.upload_url = job["job_id"], job["upload_url"]
        await client.upload(deployment.upload_url, file)
        while (status := await client.status(deployment.job_id))["status"] not in ("COMPLETED", "FAILED"):
            await asyncio.sleep(POLL_SECONDS)
        if (status["status"], status["completed_count"]) != ("COMPLETED", PROMPTS):
            raise CheckFailed(f"it is {status['status']} with {status['completed_count']} answers")
        found = await client.results(deployment.job_id)
        results = [*found["files"], found["manifest"]]
        for entry in results:
            await client.download(entry["url"], home / entry["filename"])
    if faults := verify(file, home).faults:
        raise CheckFailed(faults[0])
    deployment.results = results


async def check_used_upload_url(deployment: Deployment) -> None:
    """Check that a second upload to the same URL is rejected."""
    deployment.require_storage(StorageKind.GOOGLE, StorageKind.ENGINE)
    if not deployment.results:
        raise CheckSkipped("nothing was uploaded")
    await deployment.expect_rejected("a second PUT", "PUT", deployment.upload_url, UPLOAD_HEADERS)


async def check_tampered_upload_urls(deployment: Deployment) -> None:
    """Check that a changed upload URL is rejected."""
    deployment.require_storage(StorageKind.GOOGLE, StorageKind.ENGINE)
    url = (await _create_job(deployment))["upload_url"]
    for changed, pattern in TAMPERED.items():
        name = f"a PUT with {changed} changed"
        await deployment.expect_rejected(name, "PUT", _tampered(url, pattern), UPLOAD_HEADERS)
    await deployment.expect_rejected("a GET with a URL for PUT", "GET", url)


async def check_content_type(deployment: Deployment) -> None:
    """Check that an upload of another content type is rejected."""
    deployment.require_storage(StorageKind.GOOGLE)
    url = (await _create_job(deployment))["upload_url"]
    await deployment.expect_rejected("a PUT of text", "PUT", url, {"Content-Type": "text/plain"})


async def check_tampered_result_urls(deployment: Deployment) -> None:
    """Check that a results URL that was changed, or is used for a write, is rejected."""
    deployment.require_storage(StorageKind.GOOGLE, StorageKind.ENGINE)
    for entry in deployment.finished:
        for changed, pattern in TAMPERED.items():
            await deployment.expect_rejected(f"a GET with {changed} changed", "GET", _tampered(entry["url"], pattern))
        await deployment.expect_rejected("a GET without a signature", "GET", unsigned(entry["url"]))
        await deployment.expect_rejected("a PUT with a URL for GET", "PUT", entry["url"], UPLOAD_HEADERS)


async def check_private_buckets(deployment: Deployment) -> None:
    """Check that an anonymous caller cannot list, read or write a bucket."""
    deployment.require_storage(StorageKind.GOOGLE)
    signed = (deployment.upload_url, *(entry["url"] for entry in deployment.finished))
    for name in sorted({*deployment.buckets, *map(bucket_of, signed)}):
        await deployment.expect_rejected(f"a list of {name}", "GET", f"{GOOGLE}/storage/v1/b/{name}/o")
        await deployment.expect_rejected(f"the policy of {name}", "GET", f"{GOOGLE}/storage/v1/b/{name}/iam")
        url = f"{GOOGLE}/{name}/smoke-{uuid.uuid4().hex}"
        await deployment.expect_rejected(f"a PUT into {name}", "PUT", url, UPLOAD_HEADERS)
    await deployment.expect_rejected("a GET of the upload without a signature", "GET", unsigned(deployment.upload_url))


async def check_client_isolation(deployment: Deployment) -> None:
    """Check that another client finds no job with any call, and shares no Idempotency-Key."""
    if not deployment.other_key:
        raise CheckSkipped("PROMPTFORGE_OTHER_API_KEY is not set")
    if not deployment.job_id:
        raise CheckSkipped("there is no job")
    for method, function, suffix in JOB_CALLS:
        foreign, unknown = [
            await deployment.call(method, function, job + suffix, deployment.other_key)
            for job in (deployment.job_id, UNKNOWN_JOB)
        ]
        if (foreign.status, foreign.code) != (404, "job_not_found"):
            raise CheckFailed(f"{function} of another client's job returned {foreign.status}")
        if foreign.body != unknown.body:
            raise CheckFailed(f"{function} of another client's job differs from that of an unknown job")
    shared_key = f"smoke-{uuid.uuid4().hex}"
    keys = (deployment.key, deployment.other_key)
    job_ids = {(await _create_job(deployment, key, shared_key))["job_id"] for key in keys}
    if len(job_ids) == 1:
        raise CheckFailed("the same Idempotency-Key led to the same job")


async def check_delete(deployment: Deployment) -> None:
    """Check that a deleted job is not found."""
    async with deployment.client() as client:
        job = await client.init("echo", "echo-1")
        await client.delete(job["job_id"])
    response = await deployment.call("GET", "status", f"{job['job_id']}/status", deployment.key)
    if (response.status, response.code) != (404, "job_not_found"):
        raise CheckFailed(f"its status returned {response.status}")


async def check_event_functions(deployment: Deployment) -> None:
    """Check that event functions reject callers without a token of Google."""
    if not deployment.function_url:
        raise CheckSkipped("no --function-url is given")
    if deployment.storage is StorageKind.EMULATOR:
        raise CheckSkipped("the emulators send no tokens, so the functions require none")
    for name in EVENT_FUNCTIONS:
        url = deployment.function_url.replace("{function}", name)
        for token in ({}, {"Authorization": "Bearer e30.e30.e30"}):
            headers = {"Content-Type": "application/json", **token}
            await deployment.expect_rejected(f"a POST to {name}", "POST", url, headers)


async def check_expiry(deployment: Deployment) -> None:
    """Check that signed URLs expire at their time, by default after 15 and 60 minutes."""
    if not deployment.wait_for_expiry:
        raise CheckSkipped("it takes an hour and requires --expiry")
    deployment.require_storage(StorageKind.GOOGLE, StorageKind.ENGINE)
    job = await _create_job(deployment)
    entry = deployment.finished[0]
    for name, method, url, expires_at in (
        ("a late PUT", "PUT", job["upload_url"], job["expires_at"]),
        ("a late GET", "GET", entry["url"], entry["expires_at"]),
    ):
        expired_at = datetime.fromisoformat(expires_at).timestamp() + CLOCK_MARGIN_SECONDS
        await asyncio.sleep(max(0.0, expired_at - time.time()))
        await deployment.expect_rejected(name, method, url, UPLOAD_HEADERS if method == "PUT" else None)


CHECKS: tuple[Check, ...] = (
    check_health,
    check_keys,
    check_job,
    check_used_upload_url,
    check_tampered_upload_urls,
    check_content_type,
    check_tampered_result_urls,
    check_private_buckets,
    check_client_isolation,
    check_delete,
    check_event_functions,
    check_expiry,
)


async def _create_job(
    deployment: Deployment, key: str | None = None, idempotency_key: str | None = None
) -> dict[str, Any]:
    """Create a job without an upload.

    It waits until it expires.
    """
    async with deployment.client(key) as client:
        return await client.init("echo", "echo-1", idempotency_key)


def _tampered(url: str, pattern: str) -> str:
    """Return the URL with one character changed: the second group of the pattern."""
    changed = re.sub(pattern, lambda found: found[1] + ("2" if found[2] == "1" else "1"), url, count=1)
    if changed == url:
        raise CheckFailed("the URL does not match the pattern of a signed URL")
    return changed
