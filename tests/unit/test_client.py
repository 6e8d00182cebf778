"""What the client sends."""

from pathlib import Path

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
