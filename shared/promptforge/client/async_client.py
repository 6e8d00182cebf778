"""A client of the public API: one method a call, and `download` for the signed URLs."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import aiohttp
from yarl import URL

from promptforge.domain.retry import parse_retry_after

BLOCK_BYTES = 1024 * 1024
RETRYABLE_CODES = {"rate_limited", "unavailable", "unknown"}
"""Why a 429 or 503 is worth waiting for; unknown is whatever stands before the service."""

WAIT_SECONDS = (0.5, 60.0)  # at least between two tries, and at most for all tries of a call


class RequestFailed(Exception):
    """The service answered with an error: its `code`, and as text what it said. `wait_seconds` is how long to wait
    before the same may be asked again, if that is likely to help."""

    def __init__(self, status: int, code: str, detail: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.code = code
        self.wait_seconds = retry_after_seconds


class AsyncClient:
    """Use as an async context. Every method raises RequestRefused, or aiohttp.ClientError when there is no answer.

    `url` is the address of the API; where each function has an address of its own, with {function} for its name. Who
    is told to wait a little waits and asks again, where to ask twice is the same as to ask once.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"X-API-Key": api_key}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=60, sock_connect=10))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def init(
        self, provider: str, model: str, idempotency_key: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Open a job, or find the one that was opened with the same key: `job_id`, `upload_url`, `expires_at`."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = {"provider": provider, "model": model, **options}
        return await self._call("init", "POST", "/v1/jobs/init", body, headers)

    async def upload(self, upload_url: str, path: Path) -> None:
        """PUT a file to the URL of `init`."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
        with path.open("rb") as file:  # here, for nobody closes a generator that an upload broke off in
            async with self._session.put(as_signed(upload_url), data=_blocks(file), headers=headers) as response:
                await _checked(response)

    async def status(self, job_id: str) -> dict[str, Any]:
        """How the job stands."""
        return await self._call("status", "GET", f"/v1/jobs/{job_id}/status")

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """Have no further call made for the job; how it stands then."""
        return await self._call("cancel", "POST", f"/v1/jobs/{job_id}/cancel")

    async def delete(self, job_id: str) -> None:
        """Have the job and everything of it erased."""
        url = self._url_of("delete", f"/v1/jobs/{job_id}")
        async with self._session.delete(url, headers=self._headers) as response:
            await _checked(response)

    async def results(self, job_id: str) -> dict[str, Any]:
        """The job's files with their URLs."""
        return await self._call("results", "GET", f"/v1/jobs/{job_id}/results")

    async def download(self, url: str, target: Path, on_bytes: Callable[[int], None] = lambda count: None) -> None:
        """GET a signed URL into a file, which appears only when it is whole."""
        partial = target.with_name(target.name + ".partial")
        async with self._session.get(as_signed(url)) as response:
            await _checked(response)
            with partial.open("wb") as file:
                async for block in response.content.iter_chunked(BLOCK_BYTES):
                    on_bytes(file.write(block))
        os.replace(partial, target)

    async def _call(
        self,
        function: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        repeatable, left = method == "GET" or "Idempotency-Key" in (headers or {}), WAIT_SECONDS[1]
        while True:
            try:
                return await self._call_once(function, method, path, body, headers)
            except RequestFailed as exc:
                if not repeatable or exc.wait_seconds is None or exc.wait_seconds > left:
                    raise
                left -= exc.wait_seconds
                await asyncio.sleep(exc.wait_seconds)

    async def _call_once(
        self, function: str, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str] | None
    ) -> dict[str, Any]:
        sent = {**self._headers, **(headers or {})}
        async with self._session.request(method, self._url_of(function, path), json=body, headers=sent) as response:
            await _checked(response)
            answer: dict[str, Any] = await response.json()
            return answer

    def _url_of(self, function: str, path: str) -> str:
        return self._url.replace("{function}", function) + path


def as_signed(url: str) -> URL:
    """A signed URL to be sent byte for byte: aiohttp would write it more simply."""
    return URL(url, encoded=True)


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


async def _checked(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    try:
        problem = await response.json(content_type=None)
        code, detail = problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        code, detail = "unknown", "no reason was given"
    wait = None
    if response.status in (429, 503) and code in RETRYABLE_CODES:
        wait = max(parse_retry_after(response.headers.get("Retry-After"), time.time()) or 0.0, WAIT_SECONDS[0])
    raise RequestFailed(response.status, code, detail, wait)
