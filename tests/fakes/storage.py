"""Cloud Storage on this machine, as strict as the real one where this project relies on it, and with faults on order.

The part of the JSON API that google-cloud-storage uses, and signed PUT and GET of whole objects.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from promptforge.ports.clock import Clock
from tests.fakes import signed_urls
from tests.fakes.service_account_keys import DOWNLOADER, UPLOADER, private_key
from tests.fakes.storage_bucket import Refused, Session, Stored, StrictBucket
from tests.harness.crc32c import checksum
from tests.harness.loopback import loopback

UPLOADS = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
NAMES = re.compile(r"/storage/v1/b/([^/]+)/o")
OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")
COMPOSE = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/compose")
SIGNED = re.compile(r"/([^/]+)/(.+)")
SPAN = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")

Finalized = Callable[[dict[str, str]], Awaitable[None]]


class Fault(StrEnum):
    """What can go wrong with one request."""

    NONE = "nothing: another one may have its turn"
    LOST = "the request is served and its answer is lost"
    UNAVAILABLE = "503"
    THROTTLED = "429"
    CUT = "the connection breaks in the middle of the answer's body"
    DAMAGED = "a byte of the request's body changes on its way"
    HALF_KEPT = "only the first half of a session's piece is kept"


@dataclass(frozen=True)
class Member:
    """A service account: its key, and whether its role creates objects (and overwrites none) or reads them."""

    key: RSAPublicKey
    creates: bool


@dataclass
class StrictStorage:
    """`faults` come true one by one, each for the next request whose method, path and query hold its text."""

    clock: Clock
    members: Mapping[str, Member]
    on_finalized: Finalized | None = None
    url: str = ""
    buckets: dict[str, StrictBucket] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    _events: set[asyncio.Task[None]] = field(default_factory=set)

    def make_bucket(self, name: str) -> StrictBucket:
        """A bucket, made if need be."""
        return self.buckets.setdefault(name, StrictBucket(name))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or fail it as ordered."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._handle(request)
        finally:
            self.in_flight -= 1

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        text = f"{request.method} {request.raw_path}"
        self.requests.append(text)
        ordered = next((order for order in self.faults if order[0] in text), None)
        if ordered:
            self.faults.remove(ordered)
        fault = ordered[1] if ordered else None
        if fault in (Fault.UNAVAILABLE, Fault.THROTTLED):
            return _refusal(Refused(int(fault), "ordered"))
        try:
            reply = await self._serve(request, await _body(request, fault is Fault.DAMAGED), fault)
        except Refused as refused:
            reply = _refusal(refused)
        if fault is Fault.CUT:
            await _cut(request, reply)
        if fault in (Fault.LOST, Fault.CUT) and request.transport:
            request.transport.abort()
        return reply

    async def told(self) -> None:
        """When every event that is due was delivered."""
        await asyncio.gather(*self._events)

    async def _serve(self, request: web.Request, body: bytes, fault: Fault | None) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        served: list[tuple[str, re.Pattern[str], Callable[..., web.Response]]] = [
            ("POST", UPLOADS, self._begin if request.query.get("uploadType") == "resumable" else self._insert),
            ("PUT", UPLOADS, self._half if fault is Fault.HALF_KEPT else self._piece),
            ("DELETE", UPLOADS, self._abandon),
            ("GET", NAMES, self._names),
            ("POST", COMPOSE, self._compose),
            ("GET", OBJECT, self._get),
            ("DELETE", OBJECT, self._delete),
        ]
        for method, pattern, answer in served:
            if request.method == method and (found := pattern.fullmatch(path)):
                bucket, *name = map(unquote, found.groups())
                return answer(self._bucket(bucket), *name, request=request, body=body)
        if found := SIGNED.fullmatch(path):
            headers = {name.lower(): value for name, value in request.headers.items()}
            keys = {email: member.key for email, member in self.members.items()}
            email = signed_urls.signer_of(request.method, path, query, headers, keys, self.clock.now())
            return self._signed(self._bucket(found[1]), unquote(found[2]), self.members[email], request, body)
        raise Refused(404, "notFound")

    def _bucket(self, name: str) -> StrictBucket:
        if name not in self.buckets:
            raise Refused(404, "notFound")
        return self.buckets[name]

    def _finalized(self, stored: Stored) -> web.Response:
        if self.on_finalized:
            event: asyncio.Task[None] = asyncio.ensure_future(self.on_finalized(stored.resource))
            self._events.add(event)
            event.add_done_callback(self._events.discard)
        return web.json_response(stored.resource)

    def _insert(self, bucket: StrictBucket, request: web.Request, body: bytes) -> web.Response:
        (_, described), (content_type, data) = _parts(request.headers["Content-Type"], body)
        metadata = orjson.loads(described)
        _check_sum(data, metadata.get("crc32c"))
        return self._finalized(bucket.put(metadata["name"], data, content_type, request.query))

    def _begin(self, bucket: StrictBucket, request: web.Request, body: bytes) -> web.Response:
        name = orjson.loads(body)["name"]
        bucket.check(name, request.query)
        key = f"{len(bucket.sessions)}"
        bucket.sessions[key] = Session(name, request.headers["X-Upload-Content-Type"], dict(request.query))
        place = f"{self.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&upload_id={key}"
        return web.Response(headers={"Location": place})

    def _half(self, bucket: StrictBucket, request: web.Request, body: bytes) -> web.Response:
        return self._piece(bucket, request, body, half=True)

    def _piece(self, bucket: StrictBucket, request: web.Request, body: bytes, half: bool = False) -> web.Response:
        session = _session(bucket, request)
        span = SPAN.fullmatch(request.headers["Content-Range"])
        if session.made:
            return web.json_response(session.made.resource)
        if not span or (span[1] and int(span[2]) - int(span[1]) + 1 != len(body)):
            raise Refused(400, "invalid")
        ends = span[3] != "*"
        if span[1]:
            data = body[: len(body) // 2] if half else body
            bucket.keep(session, int(span[1]), data, last=ends or half)
        if ends and int(span[3]) == len(session.kept):
            _check_sum(bytes(session.kept), request.headers.get("x-goog-hash", "").removeprefix("crc32c="))
            return self._finalized(bucket.finish(session))
        kept = {"Range": f"bytes=0-{len(session.kept) - 1}"} if session.kept else {}
        return web.Response(status=308, headers=kept)

    def _abandon(self, bucket: StrictBucket, request: web.Request, body: bytes) -> web.Response:
        if not _session(bucket, request).made:
            del bucket.sessions[request.query["upload_id"]]
        return web.Response(status=499)

    def _names(self, bucket: StrictBucket, request: web.Request, body: bytes) -> web.Response:
        token = base64.urlsafe_b64decode(request.query.get("pageToken", "")).decode()
        number = min(int(request.query.get("maxResults", 1000)), 1000)
        page, after = bucket.page(request.query.get("prefix", ""), token, number)
        following = {"nextPageToken": base64.urlsafe_b64encode(after.encode()).decode()} if after else {}
        return web.json_response({"items": [stored.resource for stored in page], **following})

    def _compose(self, bucket: StrictBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        order = orjson.loads(body)
        sources = [source["name"] for source in order["sourceObjects"]]
        return self._finalized(bucket.compose(name, sources, order["destination"]["contentType"], request.query))

    def _get(self, bucket: StrictBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        stored = bucket.find(name, request.query)
        return _content(request, stored) if request.query.get("alt") == "media" else web.json_response(stored.resource)

    def _delete(self, bucket: StrictBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        bucket.delete(name, request.query)
        return web.Response(status=204)

    def _signed(
        self, bucket: StrictBucket, name: str, member: Member, request: web.Request, body: bytes
    ) -> web.Response:
        if request.method == "PUT" and member.creates and name not in bucket.objects:
            return self._put(bucket, name, request, body)
        if request.method == "GET" and not member.creates:
            reply = _content(request, bucket.find(name, {}))
            for field_name, header in (("type", "Content-Type"), ("disposition", "Content-Disposition")):
                if value := request.query.get(f"response-content-{field_name}"):
                    reply.headers[header] = value
            return reply
        raise Refused(403, "AccessDenied")

    def _put(self, bucket: StrictBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        self._finalized(bucket.put(name, body, request.headers["Content-Type"], {}))
        return web.Response()


@asynccontextmanager
async def strict_storage(clock: Clock, on_finalized: Finalized | None = None) -> AsyncIterator[StrictStorage]:
    """A running store without buckets, in which UPLOADER creates objects and DOWNLOADER reads them."""
    key = private_key().public_key()
    members = {UPLOADER: Member(key, creates=True), DOWNLOADER: Member(key, creates=False)}
    storage = StrictStorage(clock, members, on_finalized)
    async with loopback(storage.handle) as storage.url:
        yield storage
        await storage.told()


def _session(bucket: StrictBucket, request: web.Request) -> Session:
    if (key := request.query.get("upload_id", "")) not in bucket.sessions:
        raise Refused(404, "notFound")
    return bucket.sessions[key]


def _content(request: web.Request, stored: Stored) -> web.Response:
    """An object's bytes, or the range of them that was asked for."""
    size, found = len(stored.data), re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if not found:
        return web.Response(body=stored.data, content_type=stored.content_type)
    start, end = int(found[1]), min(int(found[2] or size), size - 1)
    if start >= size:
        raise Refused(416, "requestedRangeNotSatisfiable")
    headers = {"Content-Range": f"bytes {start}-{end}/{size}", "Content-Type": stored.content_type}
    return web.Response(status=206, body=stored.data[start : end + 1], headers=headers)


def _check_sum(data: bytes, expected: str | None) -> None:
    if expected and checksum(data) != expected:
        raise Refused(400, "invalid")


def _parts(content_type: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Content type and content of each part of a multipart body."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        yield head.decode().partition(":")[2].strip(), content


async def _body(request: web.Request, damaged: bool) -> bytes:
    body = await request.read()
    if damaged:
        at = body.rfind(b"\r\n--") - 1 if "multipart" in request.content_type else len(body) // 2
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    return body


async def _cut(request: web.Request, reply: web.Response) -> None:
    if isinstance(reply.body, bytes):
        half = web.StreamResponse(status=reply.status, headers=reply.headers)
        half.content_length = len(reply.body)
        await half.prepare(request)
        await half.write(reply.body[: len(reply.body) // 2])


def _refusal(refused: Refused) -> web.Response:
    body = {"error": {"code": refused.status, "message": refused.reason, "errors": [{"reason": refused.reason}]}}
    return web.json_response(body, status=refused.status)
