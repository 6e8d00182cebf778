"""The requests of the client: signed URLs, uploads and retries."""

import gc
import io
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from promptforge.client.async_client import AsyncClient, RequestFailed
from tests.harness.loopback import serve_handler


async def test_client_signed_url_is_sent_byte_for_byte(tmp_path: Path) -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        paths.append(request.raw_path)
        return web.Response()

    path = "/bucket/a%20b?credential=a%40p.com%2F2026&type=application%2Fx-ndjson&name=%22x%22&signature=1"
    (tmp_path / "file").write_bytes(b"x")
    async with serve_handler(answer) as url, AsyncClient(url, "key") as client:
        await client.upload(url + path, tmp_path / "file")
        await client.download(url + path, tmp_path / "downloaded")

    assert paths == [path, path]


async def test_upload_aborted_connection_closes_file(tmp_path: Path) -> None:
    async def abort(request: web.Request) -> web.Response:
        await request.content.readany()
        assert request.transport
        request.transport.abort()
        return web.Response()

    file = tmp_path / "file"
    file.write_bytes(b"x" * 50_000_000)
    async with serve_handler(abort) as url, AsyncClient(url, "key") as client:
        with pytest.raises(aiohttp.ClientError) as aborted:  # keeps the objects of the frames alive
            await client.upload(url, file)
        files = [each for each in gc.get_objects() if isinstance(each, io.FileIO) and each.name == str(file)]

    assert aborted.value
    assert [each.closed for each in files] in ([], [True])


def busy(status: int, code: str, retry_after: str | None) -> web.Response:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.json_response({"code": code, "detail": "Not now."}, status=status, headers=headers)


async def test_client_retries_429_and_503_for_idempotent_calls() -> None:
    responses = [busy(429, "rate_limited", "0"), busy(503, "unavailable", "1"), web.Response(status=503)]
    methods: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        methods.append(request.method)
        return responses.pop() if responses else web.json_response({"status": "QUEUED"})

    async with serve_handler(answer) as url, AsyncClient(url, "key") as client:
        assert await client.status("job_1") == {"status": "QUEUED"}
        responses.append(busy(429, "rate_limited", "0"))
        assert await client.init("echo", "m", idempotency_key="k") == {"status": "QUEUED"}

    assert methods == ["GET"] * 4 + ["POST"] * 2


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [
        (429, "rate_limited", "3600"),
        (429, "spend_limit", "1"),
        (429, "too_many_jobs", "1"),
        (404, "job_not_found", "1"),
    ],
)
async def test_client_raises_for_long_wait_or_other_code(status: int, code: str, retry_after: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return busy(status, code, retry_after)

    async with serve_handler(answer) as url, AsyncClient(url, "key") as client:
        with pytest.raises(RequestFailed) as failed:
            await client.status("job_1")

    assert failed.value.code == code


async def test_client_does_not_retry_calls_that_are_not_idempotent() -> None:
    methods: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        methods.append(request.method)
        return busy(503, "unavailable", "0")

    async with serve_handler(answer) as url, AsyncClient(url, "key") as client:
        with pytest.raises(RequestFailed):
            await client.init("echo", "m")
        with pytest.raises(RequestFailed):
            await client.cancel("job_1")

    assert methods == ["POST", "POST"]
