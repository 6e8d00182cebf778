"""The checks, in their order; each says what must hold in its docstring. The first job is made by one of the first."""

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
from tests.smoke.site import GOOGLE, UPLOAD, Site, Skipped, Storage, Wrong, bucket_of, unsigned

PROMPTS = 100
JOB_SECONDS = 300
UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"
OF_A_JOB = (
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

Check = Callable[[Site], Awaitable[None]]


async def healthy(site: Site) -> None:
    """/health answers without a key"""
    reply = await site.ask("GET", site.url_of("init", "/health"))
    if reply.status != 200:
        raise Wrong(f"it answered {reply.status}")


async def keys_are_asked_for(site: Site) -> None:
    """without a good key every call of the API is refused with 401"""
    for key in ("", "wrong"):
        for method, function, path in (
            ("POST", "init", "init"),
            *((m, f, UNKNOWN_JOB + what) for m, f, what in OF_A_JOB),
        ):
            status = (await site.call(method, function, path, key)).status
            if status != 401:
                raise Wrong(f"{function} was answered with {status}")


async def a_job_is_done(site: Site) -> None:
    """a job of 100 prompts is done and verifies"""
    file, home = site.folder / "prompts.jsonl", site.folder / "home"
    file.write_bytes(prompts(PROMPTS))
    home.mkdir()
    async with site.client() as client, asyncio.timeout(JOB_SECONDS):
        job = await client.init("echo", "echo-1")
        site.job_id, site.upload_url = job["job_id"], job["upload_url"]
        await client.upload(site.upload_url, file)
        while (status := await client.status(site.job_id))["status"] not in ("COMPLETED", "FAILED"):
            await asyncio.sleep(1)
        if (status["status"], status["completed_count"]) != ("COMPLETED", PROMPTS):
            raise Wrong(f"it is {status['status']} with {status['completed_count']} answers")
        found = await client.results(site.job_id)
        results = [*found["files"], found["manifest"]]
        for entry in results:
            await client.download(entry["url"], home / entry["filename"])
    if faults := verify(file, home).faults:
        raise Wrong(faults[0])
    site.results = results


async def an_upload_url_works_once(site: Site) -> None:
    """an upload URL that was used replaces nothing"""
    site.needs(Storage.GOOGLE, Storage.OURS)
    if not site.results:
        raise Skipped("nothing was uploaded")
    await site.refuses("a second PUT", "PUT", site.upload_url, UPLOAD)


async def changed_upload_urls_are_refused(site: Site) -> None:
    """an upload URL that was changed is refused"""
    site.needs(Storage.GOOGLE, Storage.OURS)
    url = (await _new_job(site))["upload_url"]
    for what, pattern in TAMPERED.items():
        await site.refuses(f"a PUT with {what} changed", "PUT", _tampered(url, pattern), UPLOAD)
    await site.refuses("a GET with a URL for PUT", "GET", url)


async def another_content_type_is_refused(site: Site) -> None:
    """an upload of another content type is refused"""
    site.needs(Storage.GOOGLE)
    url = (await _new_job(site))["upload_url"]
    await site.refuses("a PUT of text", "PUT", url, {"Content-Type": "text/plain"})


async def results_have_no_other_door(site: Site) -> None:
    """a results URL that was changed, or is used to write, is refused"""
    site.needs(Storage.GOOGLE, Storage.OURS)
    for entry in site.finished:
        for what, pattern in TAMPERED.items():
            await site.refuses(f"a GET with {what} changed", "GET", _tampered(entry["url"], pattern))
        await site.refuses("a GET without a signature", "GET", unsigned(entry["url"]))
        await site.refuses("a PUT with a URL for GET", "PUT", entry["url"], UPLOAD)


async def buckets_are_private(site: Site) -> None:
    """nobody without rights lists, reads or writes a bucket"""
    site.needs(Storage.GOOGLE)
    names = {*site.buckets, bucket_of(site.upload_url), *(bucket_of(entry["url"]) for entry in site.finished)}
    for name in sorted(names):
        await site.refuses(f"a list of {name}", "GET", f"{GOOGLE}/storage/v1/b/{name}/o")
        await site.refuses(f"the policy of {name}", "GET", f"{GOOGLE}/storage/v1/b/{name}/iam")
        await site.refuses(f"a PUT into {name}", "PUT", f"{GOOGLE}/{name}/smoke-{uuid.uuid4().hex}", UPLOAD)
    await site.refuses("a GET of the upload without a signature", "GET", unsigned(site.upload_url))


async def clients_are_strangers(site: Site) -> None:
    """another client finds no job, whatever it asks, and shares no Idempotency-Key"""
    if not site.other_key:
        raise Skipped("PROMPTFORGE_OTHER_API_KEY is not set")
    if not site.job_id:
        raise Skipped("there is no job")
    for method, function, what in OF_A_JOB:
        theirs, none = [
            await site.call(method, function, job + what, site.other_key) for job in (site.job_id, UNKNOWN_JOB)
        ]
        if (theirs.status, theirs.code) != (404, "job_not_found"):
            raise Wrong(f"{function} of another's job was answered with {theirs.status}")
        if theirs.body != none.body:
            raise Wrong(f"{function} of another's job is answered unlike that of none")
    shared = f"smoke-{uuid.uuid4().hex}"
    mine, theirs_too = [(await _new_job(site, key, shared))["job_id"] for key in (site.key, site.other_key)]
    if mine == theirs_too:
        raise Wrong("the same Idempotency-Key led to the same job")


async def a_deleted_job_is_gone(site: Site) -> None:
    """a job that is deleted is not found any more"""
    async with site.client() as client:
        job = await client.init("echo", "echo-1")
        await client.delete(job["job_id"])
    reply = await site.call("GET", "status", f"{job['job_id']}/status", site.key)
    if (reply.status, reply.code) != (404, "job_not_found"):
        raise Wrong(f"its status was answered with {reply.status}")


async def event_functions_refuse_strangers(site: Site) -> None:
    """functions for events refuse whoever comes without Google's token"""
    if not site.function_url:
        raise Skipped("no --function-url is given")
    if site.storage is Storage.EMULATOR:
        raise Skipped("the emulators send no tokens, so none is asked for")
    for name in EVENT_FUNCTIONS:
        url = site.function_url.replace("{function}", name)
        for headers in ({}, {"Authorization": "Bearer e30.e30.e30"}):
            await site.refuses(f"a POST to {name}", "POST", url, {"Content-Type": "application/json", **headers})


async def urls_expire(site: Site) -> None:
    """signed URLs end when they say (waited for: 15 minutes to upload, 60 to download by default)"""
    if not site.patient:
        raise Skipped("it takes an hour: ask for it with --expiry")
    site.needs(Storage.GOOGLE, Storage.OURS)
    job = await _new_job(site)
    entry = site.finished[0]
    for what, method, url, ends in (
        ("a late PUT", "PUT", job["upload_url"], job["expires_at"]),
        ("a late GET", "GET", entry["url"], entry["expires_at"]),
    ):
        until = datetime.fromisoformat(ends).timestamp() + 2
        await asyncio.sleep(max(0.0, until - time.time()))
        await site.refuses(what, method, url, UPLOAD if method == "PUT" else None)


CHECKS: tuple[Check, ...] = (
    healthy,
    keys_are_asked_for,
    a_job_is_done,
    an_upload_url_works_once,
    changed_upload_urls_are_refused,
    another_content_type_is_refused,
    results_have_no_other_door,
    buckets_are_private,
    clients_are_strangers,
    a_deleted_job_is_gone,
    event_functions_refuse_strangers,
    urls_expire,
)


async def _new_job(site: Site, key: str | None = None, idempotency_key: str | None = None) -> dict[str, Any]:
    """A job of which nothing more becomes: it waits for its upload until it is given up."""
    async with site.client(key) as client:
        return await client.init("echo", "echo-1", idempotency_key)


def _tampered(url: str, pattern: str) -> str:
    """A URL with one character changed, the one that a pattern finds."""
    changed = re.sub(pattern, lambda found: found[1] + ("2" if found[2] == "1" else "1"), url, count=1)
    if changed == url:
        raise Wrong("the URL has nothing to change there")
    return changed
