"""What the client sends."""

import gc
import io
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from promptforge.client import Client
from tests.support.loopback import loopback


async def test_signed_urls_are_sent_byte_for_byte(tmp_path: Path) -> None:
    sent: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        sent.append(request.raw_path)
        return web.Response()

    path = "/bucket/a%20b?credential=a%40p.com%2F2026&type=application%2Fx-ndjson&name=%22x%22&signature=1"
    (tmp_path / "file").write_bytes(b"x")
    async with loopback(answer) as url, Client(url, "key") as client:
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
    async with loopback(hang_up) as url, Client(url, "key") as client:
        with pytest.raises(aiohttp.ClientError) as broken:  # what it holds on to is not collected meanwhile
            await client.upload(url, file)
        files = [each for each in gc.get_objects() if isinstance(each, io.FileIO) and each.name == str(file)]

    assert broken.value
    assert [each.closed for each in files] in ([], [True])
