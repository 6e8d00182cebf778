"""What the client sends."""

import gc
import io
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from promptforge.client.async_client import AsyncClient, RequestFailed
from tests.support.loopback import loopback


async def test_signed_urls_are_sent_byte_for_byte(tmp_path: Path) -> None:
    sent: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        sent.append(request.raw_path)
        return web.Response()

    path = "/bucket/a%20b?credential=a%40p.com%2F2026&type=application%2Fx-ndjson&name=%22x%22&signature=1"
    (tmp_path / "file").write_bytes(b"x")
    async with loopback(answer) as url, AsyncClient(url, "key") as client:
        await client.upload(url + path, tmp_path / "file")
        await client.download(url + path, tmp_path / "home")

    assert sent == [path, path]


async def test_an_upload_that_breaks_off_leaves_no_file_open(tmp_path: Path) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        await request.content.readany()
        assert request.transport
        request.transport.abort()
        return web.Response()

    file = tmp_path / "file"
    file.write_bytes(b"x" * 50_000_000)
    async with loopback(hang_up) as url, AsyncClient(url, "key") as client:
        with pytest.raises(aiohttp.ClientError) as broken:  # what it holds on to is not collected meanwhile
            await client.upload(url, file)
        files = [each for each in gc.get_objects() if isinstance(each, io.FileIO) and each.name == str(file)]

    assert broken.value
    assert [each.closed for each in files] in ([], [True])


def busy(status: int, code: str, retry_after: str | None) -> web.Response:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.json_response({"code": code, "detail": "Not now."}, status=status, headers=headers)


async def test_who_is_told_to_wait_a_little_asks_again_where_that_is_the_same_as_asking_once() -> None:
    refusals = [busy(429, "rate_limited", "0"), busy(503, "unavailable", "1"), web.Response(status=503)]
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        return refusals.pop() if refusals else web.json_response({"status": "QUEUED"})

    async with loopback(answer) as url, AsyncClient(url, "key") as client:
        assert await client.status("job_1") == {"status": "QUEUED"}
        refusals.append(busy(429, "rate_limited", "0"))
        assert await client.init("echo", "m", idempotency_key="k") == {"status": "QUEUED"}

    assert asked == ["GET"] * 4 + ["POST"] * 2


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [
        (429, "rate_limited", "3600"),
        (429, "spend_limit", "1"),
        (429, "too_many_jobs", "1"),
        (404, "job_not_found", "1"),
    ],
)
async def test_who_would_wait_long_or_in_vain_is_told(status: int, code: str, retry_after: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return busy(status, code, retry_after)

    async with loopback(answer) as url, AsyncClient(url, "key") as client:
        with pytest.raises(RequestFailed) as refused:
            await client.status("job_1")

    assert refused.value.code == code


async def test_an_order_without_a_key_is_sent_once() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        return busy(503, "unavailable", "0")

    async with loopback(answer) as url, AsyncClient(url, "key") as client:
        with pytest.raises(RequestFailed):
            await client.init("echo", "m")
        with pytest.raises(RequestFailed):
            await client.cancel("job_1")

    assert asked == ["POST", "POST"]
