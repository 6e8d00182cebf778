"""Requests to ASGI apps without a socket and without a client library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp

from tests.harness import raw_asgi


@dataclass
class Response:
    """The response of an app.

    Status 0 stands for no response.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The parsed body."""
        return orjson.loads(self.body)


async def send_request(
    app: ASGIApp, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Response:
    """Send one request and return the whole response."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}"
    response = await raw_asgi.send_request(app, method, target, [*(headers or {}).items()], body)
    return Response(response.status, {name.decode(): value.decode() for name, value in response.headers}, response.body)
