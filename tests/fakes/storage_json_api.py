"""The part of Cloud Storage's JSON API that google-cloud-storage uses, on the buckets of the fake."""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
from aiohttp import web

from tests.fakes.storage_bucket import FakeBucket, StorageError, StoredObject, UploadSession
from tests.harness.crc32c import checksum

UPLOADS = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
OBJECTS = re.compile(r"/storage/v1/b/([^/]+)/o")
OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")
COMPOSE = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/compose")
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True)
class Route:
    """The handler of a request, with the quoted bucket and, where there is one, the quoted object name."""

    handler: Callable[..., web.Response]
    groups: tuple[str, ...]


class JsonApi:
    """The handlers.

    `on_created` is called with every object that becomes complete.
    """

    def __init__(self, on_created: Callable[[StoredObject], None]) -> None:
        self._on_created = on_created

    def route(self, request: web.Request, half: bool) -> Route | None:
        """Return the route of a request, or None.

        With `half`, a session keeps the first half of a block.
        """
        path = request.raw_path.partition("?")[0]
        resumable = request.query.get("uploadType") == "resumable"
        handlers: list[tuple[str, re.Pattern[str], Callable[..., web.Response]]] = [
            ("POST", UPLOADS, self._start_session if resumable else self._insert),
            ("PUT", UPLOADS, self._append_half if half else self._append),
            ("DELETE", UPLOADS, self._cancel_session),
            ("GET", OBJECTS, self._list),
            ("POST", COMPOSE, self._compose),
            ("GET", OBJECT, self._get),
            ("DELETE", OBJECT, self._delete),
        ]
        for method, pattern, handler in handlers:
            if request.method == method and (found := pattern.fullmatch(path)):
                return Route(handler, found.groups())
        return None

    def _created(self, stored: StoredObject) -> web.Response:
        self._on_created(stored)
        return web.json_response(stored.resource)

    def _insert(self, bucket: FakeBucket, request: web.Request, body: bytes) -> web.Response:
        (_, description), (content_type, data) = _parts(request.headers["Content-Type"], body)
        metadata = orjson.loads(description)
        _verify_checksum(data, metadata.get("crc32c"))
        return self._created(bucket.put(metadata["name"], data, content_type, request.query))

    def _start_session(self, bucket: FakeBucket, request: web.Request, body: bytes) -> web.Response:
        name = orjson.loads(body)["name"]
        bucket.check(name, request.query)
        key = f"{len(bucket.sessions)}"
        content_type = request.headers["X-Upload-Content-Type"]
        bucket.sessions[key] = UploadSession(name, content_type, dict(request.query))
        path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&upload_id={key}"
        return web.Response(headers={"Location": f"{request.url.origin()}{path}"})

    def _append_half(self, bucket: FakeBucket, request: web.Request, body: bytes) -> web.Response:
        return self._append(bucket, request, body, half=True)

    def _append(self, bucket: FakeBucket, request: web.Request, body: bytes, half: bool = False) -> web.Response:
        session = _session(bucket, request)
        block = CONTENT_RANGE.fullmatch(request.headers["Content-Range"])
        if session.created:
            return web.json_response(session.created.resource)
        if not block or (block[1] and int(block[2]) - int(block[1]) + 1 != len(body)):
            raise StorageError(400, "invalid")
        last = block[3] != "*"
        if block[1]:
            data = body[: len(body) // 2] if half else body
            bucket.append(session, int(block[1]), data, last=last or half)
        if last and int(block[3]) == len(session.received):
            _verify_checksum(bytes(session.received), request.headers.get("x-goog-hash", "").removeprefix("crc32c="))
            return self._created(bucket.finish(session))
        headers = {"Range": f"bytes=0-{len(session.received) - 1}"} if session.received else {}
        return web.Response(status=308, headers=headers)

    def _cancel_session(self, bucket: FakeBucket, request: web.Request, body: bytes) -> web.Response:
        if not _session(bucket, request).created:
            del bucket.sessions[request.query["upload_id"]]
        return web.Response(status=499)

    def _list(self, bucket: FakeBucket, request: web.Request, body: bytes) -> web.Response:
        after = base64.urlsafe_b64decode(request.query.get("pageToken", "")).decode()
        limit = min(int(request.query.get("maxResults", MAX_PAGE_SIZE)), MAX_PAGE_SIZE)
        page, last = bucket.page(request.query.get("prefix", ""), after, limit)
        next_page = {"nextPageToken": base64.urlsafe_b64encode(last.encode()).decode()} if last else {}
        return web.json_response({"items": [stored.resource for stored in page], **next_page})

    def _compose(self, bucket: FakeBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        fields = orjson.loads(body)
        sources = [source["name"] for source in fields["sourceObjects"]]
        return self._created(bucket.compose(name, sources, fields["destination"]["contentType"], request.query))

    def _get(self, bucket: FakeBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        stored = bucket.get(name, request.query)
        if request.query.get("alt") == "media":
            return content_response(request, stored)
        return web.json_response(stored.resource)

    def _delete(self, bucket: FakeBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        bucket.delete(name, request.query)
        return web.Response(status=204)


def content_response(request: web.Request, stored: StoredObject) -> web.Response:
    """Return the bytes of an object, or the requested range of them."""
    size, found = len(stored.data), re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if not found:
        return web.Response(body=stored.data, content_type=stored.content_type)
    start, end = int(found[1]), min(int(found[2] or size), size - 1)
    if start >= size:
        raise StorageError(416, "requestedRangeNotSatisfiable")
    headers = {"Content-Range": f"bytes {start}-{end}/{size}", "Content-Type": stored.content_type}
    return web.Response(status=206, body=stored.data[start : end + 1], headers=headers)


def _session(bucket: FakeBucket, request: web.Request) -> UploadSession:
    if (key := request.query.get("upload_id", "")) not in bucket.sessions:
        raise StorageError(404, "notFound")
    return bucket.sessions[key]


def _verify_checksum(data: bytes, expected: str | None) -> None:
    if expected and checksum(data) != expected:
        raise StorageError(400, "invalid")


def _parts(content_type: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the content type and the content of each part of a multipart body."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        yield head.decode().partition(":")[2].strip(), content
