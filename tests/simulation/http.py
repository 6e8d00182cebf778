"""The shortest way from a request to an ASGI app's answer; no socket, no client library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp

from tests.harness.raw_asgi import sent


@dataclass
class Reply:
    """What an app answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


async def request(
    app: ASGIApp, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Reply:
    """Send one request and wait for the whole answer."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}"
    answer = await sent(app, method, target, [*(headers or {}).items()], body)
    return Reply(answer.status, {name.decode(): value.decode() for name, value in answer.headers}, answer.body)
