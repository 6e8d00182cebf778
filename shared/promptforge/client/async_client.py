"""A client of the public API: one method per call, and `download` for the signed URLs."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import aiohttp
from yarl import URL

from promptforge.domain.retry_after import parse_retry_after

BLOCK_BYTES = 1024 * 1024
MIN_RETRY_SECONDS = 0.5
"""The shortest pause between two attempts of a call."""

MAX_TOTAL_RETRY_SECONDS = 60.0
"""How long all pauses of one call may take together."""

RETRYABLE_CODES = {"rate_limited", "unavailable", "unknown"}
"""Codes of a 429 or 503 after which the client retries; "unknown" comes from a proxy in front of the service."""


class RequestFailed(Exception):
    """An error response of the service: a stable `code`, and the detail as text.

    `retry_after_seconds` is the time until a retry may succeed, or None if a retry is unlikely to help.
    """

    def __init__(self, status: int, code: str, detail: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.code = code
        self.retry_after_seconds = retry_after_seconds


class AsyncClient:
    """An async context manager with one method per call of the API.

    `url` is the address of the API. If each function has its own address, `{function}` in it stands for the name.
    Idempotent calls are retried after a 429 or 503 for up to MAX_TOTAL_RETRY_SECONDS.
    Every method raises RequestFailed, or aiohttp.ClientError when there is no response.
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
        """Create a job, or return the job that was created with the same key.

        Returns `job_id`, `upload_url` and `expires_at`.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = {"provider": provider, "model": model, **options}
        return await self._call("init", "POST", "/v1/jobs/init", body, headers)

    async def upload(self, upload_url: str, path: Path) -> None:
        """PUT a file to the upload URL of a job."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
        # The file is opened here and not in the generator: aiohttp does not close a generator when an upload fails.
        with path.open("rb") as file:
            async with self._session.put(as_signed(upload_url), data=_blocks(file), headers=headers) as response:
                await _raise_for_status(response)

    async def status(self, job_id: str) -> dict[str, Any]:
        """Return the status of the job."""
        return await self._call("status", "GET", f"/v1/jobs/{job_id}/status")

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """Stop further calls of the job, and return its status."""
        return await self._call("cancel", "POST", f"/v1/jobs/{job_id}/cancel")

    async def delete(self, job_id: str) -> None:
        """Delete the job with all its data."""
        url = self._function_url("delete", f"/v1/jobs/{job_id}")
        async with self._session.delete(url, headers=self._headers) as response:
            await _raise_for_status(response)

    async def results(self, job_id: str) -> dict[str, Any]:
        """Return the files of the job with their URLs."""
        return await self._call("results", "GET", f"/v1/jobs/{job_id}/results")

    async def download(self, url: str, target: Path, on_bytes: Callable[[int], None] = lambda count: None) -> None:
        """GET a signed URL into a file, which appears only when it is complete."""
        partial = target.with_name(target.name + ".partial")
        async with self._session.get(as_signed(url)) as response:
            await _raise_for_status(response)
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
        idempotent = method == "GET" or "Idempotency-Key" in (headers or {})
        remaining = MAX_TOTAL_RETRY_SECONDS
        while True:
            try:
                return await self._call_once(function, method, path, body, headers)
            except RequestFailed as exc:
                pause = exc.retry_after_seconds
                if not idempotent or pause is None or pause > remaining:
                    raise
                remaining -= pause
                await asyncio.sleep(pause)

    async def _call_once(
        self, function: str, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str] | None
    ) -> dict[str, Any]:
        url, headers = self._function_url(function, path), {**self._headers, **(headers or {})}
        async with self._session.request(method, url, json=body, headers=headers) as response:
            await _raise_for_status(response)
            data: dict[str, Any] = await response.json()
            return data

    def _function_url(self, function: str, path: str) -> str:
        return self._url.replace("{function}", function) + path


def as_signed(url: str) -> URL:
    """Return a signed URL that is sent byte for byte; aiohttp would normalize the text."""
    return URL(url, encoded=True)


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    try:
        problem = await response.json(content_type=None)
        code, detail = problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        code, detail = "unknown", "The response has no problem details."
    retry_after = None
    if response.status in (429, 503) and code in RETRYABLE_CODES:
        retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time()) or 0.0
        retry_after = max(retry_after, MIN_RETRY_SECONDS)
    raise RequestFailed(response.status, code, detail, retry_after)
