"""One HTTP call to a provider: keep-alive, total deadline, no redirects, bounded answer, no retry."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from promptforge import logs
from promptforge.adapters.llm.connector import SafeConnector
from promptforge.adapters.llm.json_body import is_markup, parse_json
from promptforge.adapters.llm.network_errors import (
    BAD_RESPONSE,
    TOO_LARGE,
    UNWRITABLE,
    address_of,
    invalid_address,
    network_failure,
    timeout_failure,
    unreachable,
)
from promptforge.adapters.llm.proxies import proxy_for
from promptforge.ports.provider import CallFailure

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 60.0
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 1000


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete reply.

    `body` is the parsed JSON, or None if it is not JSON. `is_markup` marks a web page or XML instead.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    is_markup: bool = False


class Transport:
    """One session for the address of one provider, created at the first call because it belongs to the running loop."""

    def __init__(self, base_url: str, headers: Mapping[str, str], connections: int, max_answer_bytes: int) -> None:
        self._base_url = base_url
        self._address = address_of(base_url)
        self._proxy, self._fault = _way_out(base_url, self._address)
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
            content = orjson.dumps(body)
        except TypeError:  # a number of more than 64 bits in the client's fields
            return UNWRITABLE
        return await self._request("POST", path, content, timeout_seconds, headers)

    async def get(self, path: str, timeout_seconds: float) -> HttpReply | CallFailure:
        """GET once, likewise."""
        return await self._request("GET", path, None, timeout_seconds, None)

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _request(
        self, method: str, path: str, body: bytes | None, timeout_seconds: float, headers: Mapping[str, str] | None
    ) -> HttpReply | CallFailure:
        if self._fault:
            return self._fault
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(method, path, body, headers)
        except Exception as exc:  # no reply of a server may stop the processing of a chunk
            if type(exc) is TimeoutError:
                return timeout_failure(timeout_seconds)
            if failure := network_failure(exc, self._address):
                return failure
            logs.error("provider_call_failed", error=type(exc).__name__)
            return BAD_RESPONSE

    async def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> HttpReply | CallFailure:
        request = self._open().request(
            method, self._base_url + path, data=body, headers=headers, allow_redirects=False, proxy=self._proxy
        )
        async with request as response:
            content = await self._read(response)
            if content is None:
                return TOO_LARGE
            return HttpReply(response.status, response.headers, parse_json(content), is_markup(content))

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
                connector=SafeConnector(
                    limit=self._connections, keepalive_timeout=KEEPALIVE_SECONDS, ssl=_ssl_context(self._base_url)
                ),
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT_SECONDS),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
                max_headers=MAX_HEADERS,
            )
        return self._session


def _ssl_context(base_url: str) -> ssl.SSLContext | bool:
    """Return the certificates to trust: those of the system, or of SSL_CERT_FILE and SSL_CERT_DIR."""
    if not base_url.startswith("https:"):
        return True
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _way_out(base_url: str, address: str) -> tuple[str | None, CallFailure | None]:
    """Return the proxy for an address, and the failure of every call if aiohttp cannot use the address or the proxy."""
    try:
        proxy, user = proxy_for(base_url), urlsplit(base_url).username
    except ValueError:
        return None, invalid_address(address)
    if user is not None:
        cause = f"The base URL of {address} must not contain a user or password: remove them."
        return None, unreachable(cause, permanent=True)
    if proxy and urlsplit(proxy).scheme not in ("http", "https"):
        cause = f"The proxy for {address} must have an address with http or https: correct HTTPS_PROXY or ALL_PROXY."
        return None, unreachable(cause, permanent=True)
    return proxy, None
