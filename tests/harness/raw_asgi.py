"""Requests to an ASGI app with the path as the client writes it, in the form in which uvicorn passes them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp

Headers = Sequence[tuple[str, str]]


@dataclass
class AsgiResponse:
    """The response of an app."""

    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


async def send_request(app: ASGIApp, method: str, target: str, headers: Headers, body: bytes = b"") -> AsgiResponse:
    """Send one request.

    `target` is an ASCII path, with a query if there is one.
    """
    response, unread = AsgiResponse(), [{"type": "http.request", "body": body, "more_body": False}]
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": ("client", 1),
        "server": ("machine", 80),
    }

    async def receive() -> dict[str, Any]:
        return unread.pop() if unread else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            response.status, response.headers = message["status"], tuple(message["headers"])
        elif message["type"] == "http.response.body":
            response.body += message.get("body", b"")

    await app(scope, receive, send)
    return response
