"""A fake of Cloud Storage, as strict as the service where this project relies on it, with faults on request.

It has the part of the JSON API that google-cloud-storage uses, and signed PUT and GET of whole objects.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

from aiohttp import web

from promptforge.ports.clock import Clock
from tests.fakes.service_account_keys import DOWNLOADER, UPLOADER, private_key
from tests.fakes.storage_bucket import FakeBucket, StorageError, StoredObject
from tests.fakes.storage_json_api import JsonApi
from tests.fakes.storage_signed_urls import ServiceAccount, SignedUrlApi
from tests.harness.loopback import serve_handler

SIGNED_PATH = re.compile(r"/([^/]+)/(.+)")

Finalized = Callable[[dict[str, str]], Awaitable[None]]


class StorageFault(StrEnum):
    """The fault of one request."""

    NONE = "no fault: it lets one request pass before the next fault"
    RESPONSE_LOST = "the request is served and its response is lost"
    UNAVAILABLE = "503"
    THROTTLED = "429"
    DISCONNECTED = "the connection breaks in the middle of the response body"
    CORRUPTED = "a byte of the request body changes on the way"
    HALF_STORED = "only the first half of a block of an upload session is stored"


@dataclass
class FakeStorage:
    """The buckets of the fake.

    `on_finalized` receives the resource of every created object.

    `faults` apply one by one, each to the next request whose method, path and query contain its text.
    """

    clock: Clock
    accounts: Mapping[str, ServiceAccount]
    on_finalized: Finalized | None = None
    url: str = ""
    buckets: dict[str, FakeBucket] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: list[tuple[str, StorageFault]] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0
    _events: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._json_api = JsonApi(self._finalized)
        self._signed_urls = SignedUrlApi(self.accounts, self.clock, self._finalized)

    def make_bucket(self, name: str) -> FakeBucket:
        """Return a bucket, created if it does not exist."""
        return self.buckets.setdefault(name, FakeBucket(name))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one request, or apply its fault."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            return await self._handle(request)
        finally:
            self.in_flight -= 1

    async def wait_for_events(self) -> None:
        """Return when `on_finalized` has handled every created object."""
        await asyncio.gather(*self._events)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        text = f"{request.method} {request.raw_path}"
        self.requests.append(text)
        fault = self._take_fault(text)
        if fault in (StorageFault.UNAVAILABLE, StorageFault.THROTTLED):
            return _error_response(StorageError(int(fault), "requested"))
        try:
            body = await _read_body(request, fault is StorageFault.CORRUPTED)
            reply = self._serve(request, body, fault)
        except StorageError as error:
            reply = _error_response(error)
        if fault is StorageFault.DISCONNECTED:
            await _send_half(request, reply)
        if fault in (StorageFault.RESPONSE_LOST, StorageFault.DISCONNECTED) and request.transport:
            request.transport.abort()
        return reply

    def _take_fault(self, text: str) -> StorageFault:
        found = next((entry for entry in self.faults if entry[0] in text), None)
        if found is None:
            return StorageFault.NONE
        self.faults.remove(found)
        return found[1]

    def _serve(self, request: web.Request, body: bytes, fault: StorageFault) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if route := self._json_api.route(request, half=fault is StorageFault.HALF_STORED):
            bucket, *name = map(unquote, route.groups)
            return route.handler(self._bucket(bucket), *name, request=request, body=body)
        if found := SIGNED_PATH.fullmatch(path):
            return self._signed_urls.serve(self._bucket(found[1]), unquote(found[2]), request, body)
        raise StorageError(404, "notFound")

    def _bucket(self, name: str) -> FakeBucket:
        if name not in self.buckets:
            raise StorageError(404, "notFound")
        return self.buckets[name]

    def _finalized(self, stored: StoredObject) -> None:
        if self.on_finalized:
            event: asyncio.Task[None] = asyncio.ensure_future(self.on_finalized(stored.resource))
            self._events.add(event)
            event.add_done_callback(self._events.discard)


@asynccontextmanager
async def fake_storage(clock: Clock, on_finalized: Finalized | None = None) -> AsyncIterator[FakeStorage]:
    """Run a storage without buckets, in which UPLOADER creates objects and DOWNLOADER reads them."""
    key = private_key().public_key()
    accounts = {UPLOADER: ServiceAccount(key, creates=True), DOWNLOADER: ServiceAccount(key, creates=False)}
    storage = FakeStorage(clock, accounts, on_finalized)
    async with serve_handler(storage.handle) as storage.url:
        yield storage
        await storage.wait_for_events()


async def _read_body(request: web.Request, corrupted: bool) -> bytes:
    body = await request.read()
    if corrupted:
        at = body.rfind(b"\r\n--") - 1 if "multipart" in request.content_type else len(body) // 2
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    return body


async def _send_half(request: web.Request, reply: web.Response) -> None:
    if isinstance(reply.body, bytes):
        half = web.StreamResponse(status=reply.status, headers=reply.headers)
        half.content_length = len(reply.body)
        await half.prepare(request)
        await half.write(reply.body[: len(reply.body) // 2])


def _error_response(error: StorageError) -> web.Response:
    body = {"error": {"code": error.status, "message": error.reason, "errors": [{"reason": error.reason}]}}
    return web.json_response(body, status=error.status)
