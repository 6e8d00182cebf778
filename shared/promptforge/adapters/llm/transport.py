"""One HTTP call to a provider: keep-alive, total deadline, no redirects, bounded answer, no retry."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from promptforge import logs
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 60.0

NOT_SENT_ERRORS = (  # aiohttp's exceptions before the first byte of a request; some are TimeoutErrors too
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    socket.gaierror,
    OverflowError,
    UnicodeError,
)

TIMEOUT = CallFailure(FailureKind.UNKNOWN, "provider_timeout", "The provider did not answer in time.")
CONNECT = CallFailure(FailureKind.NOT_SENT, "provider_unreachable", "The provider could not be reached.")
RESET = CallFailure(
    FailureKind.UNKNOWN, "provider_connection_lost", "The connection was lost before the answer was complete."
)
TOO_LARGE = CallFailure(
    FailureKind.UNKNOWN, "provider_answer_too_large", "The provider's answer exceeds the size limit."
)
BAD_RESPONSE = CallFailure(
    FailureKind.UNKNOWN, "provider_bad_response", "The provider's answer could not be understood."
)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete reply.

    `body` is the parsed JSON, or None if it is not JSON.
    """

    status: int
    headers: Mapping[str, str]
    body: Any


class Transport:
    """One session for the address of one provider, created at the first call because it belongs to the running loop."""

    def __init__(self, base_url: str, headers: Mapping[str, str], connections: int, max_answer_bytes: int) -> None:
        self._base_url = base_url
        self._headers = {"Content-Type": "application/json", **headers}
        self._connections = connections
        self._max_answer_bytes = max_answer_bytes
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, path: str, body: object, timeout_seconds: float, headers: Mapping[str, str] | None = None
    ) -> HttpReply | CallFailure:
        """POST JSON once.

        Every error of the network is returned as a CallFailure; the caller interprets the status.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._post(path, orjson.dumps(body), headers)
        except NOT_SENT_ERRORS:
            return CONNECT
        except TimeoutError:
            return TIMEOUT
        except (aiohttp.ClientError, OSError):
            return RESET
        except Exception as exc:  # no reply of a server may stop the processing of a chunk
            logs.error("provider_call_failed", error=type(exc).__name__)
            return BAD_RESPONSE

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _post(self, path: str, body: bytes, headers: Mapping[str, str] | None) -> HttpReply | CallFailure:
        url = self._base_url + path
        async with self._open().post(url, data=body, headers=headers, allow_redirects=False) as response:
            content = await self._read(response)
            if content is None:
                return TOO_LARGE
            return HttpReply(response.status, response.headers, _json(content))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        blocks, size = [], 0
        async for block in response.content.iter_any():
            size += len(block)
            if size > self._max_answer_bytes:
                response.close()
                return None
            blocks.append(block)
        return b"".join(blocks)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_SECONDS),
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT_SECONDS),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:
        return None
