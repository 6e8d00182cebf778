"""One bucket through Google's library, which blocks, so its calls run in threads.

Each method is one request, repeated while that is safe.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests
import urllib3
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from promptforge.errors import ObjectExists, ObjectMissing, PromptForgeError, Unavailable
from promptforge.ports.objects import ObjectInfo

CONTENT_TYPE = "application/octet-stream"
LIST_PAGE = 1000
TIMEOUT = (5, 15)  # to connect, and between two blocks that arrive
RETRY = DEFAULT_RETRY.with_delay(initial=0.2, maximum=4, multiplier=2)
MAX_SENDS_PER_PIECE = 8

ERRORS: dict[type[Exception], type[PromptForgeError]] = {  # the first match counts
    exceptions.PreconditionFailed: ObjectExists,
    exceptions.NotFound: ObjectMissing,
    exceptions.GoogleAPIError: Unavailable,
    GoogleAuthError: Unavailable,
    DataCorruption: Unavailable,
    InvalidResponse: Unavailable,
    urllib3.exceptions.HTTPError: Unavailable,
    OSError: Unavailable,  # those of requests too
}


class Bucket:
    """A client of a bucket, with one connection for each thread.

    Failed requests are repeated for `retry_seconds`. `endpoint` is the address of an emulator.
    """

    def __init__(self, name: str, connections: int, retry_seconds: float, endpoint: str) -> None:
        self._name = name
        self._retry = RETRY.with_timeout(retry_seconds)
        emulator = (
            {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": endpoint}} if endpoint else {}
        )
        with self._translate_errors(name):
            self._client = Client(project=None, **emulator)
        # Otherwise the library reads the bucket itself for its traces, in threads of its own, after each 404.
        self._client._bucket_metadata_cache = None
        self._http: requests.Session = self._client._http
        for scheme in ("https://", "http://"):
            self._http.mount(scheme, HTTPAdapter(pool_maxsize=connections, pool_block=True))
        self._bucket = self._client.bucket(name)

    def stat(self, name: str) -> ObjectInfo | None:
        with self._translate_errors(name):
            blob = self._bucket.get_blob(name, timeout=TIMEOUT, retry=self._retry)
        return blob and _info(blob)

    def read_range(self, name: str, generation: int, start: int, end: int) -> bytes:
        """Return the bytes [start, end) of one generation; a range past the end is cut."""
        blob = self._bucket.blob(name, generation=generation)
        options = {"raw_download": True, "checksum": None, "single_shot_download": True}
        with self._translate_errors(name):
            try:
                data: bytes = blob.download_as_bytes(
                    start=start, end=end - 1, timeout=TIMEOUT, retry=self._retry, **options
                )
            except exceptions.RequestRangeNotSatisfiable:
                return b""
        return data

    def insert(self, name: str, data: bytes) -> ObjectInfo:
        """Create an object in one request.

        The request has the checksum, so that Cloud Storage rejects damaged content.
        """
        blob = self._bucket.blob(name)
        options = {"content_type": CONTENT_TYPE, "checksum": "crc32c", "timeout": TIMEOUT, "retry": self._retry}
        with self._translate_errors(name):
            blob.upload_from_string(data, if_generation_match=0, **options)
        return _info(blob)

    def start_session(self, name: str) -> str:
        """Return the URL, a secret, of a session that receives an object piece by piece.

        The object exists after the last piece.
        """
        options = {"content_type": CONTENT_TYPE, "checksum": None, "timeout": TIMEOUT, "retry": self._retry}
        with self._translate_errors(name):
            url: str = self._bucket.blob(name).create_resumable_upload_session(if_generation_match=0, **options)
        return url

    def send_piece(self, session: str, piece: bytes, start: int) -> None:
        """Send a session's next piece, which is not its last."""
        self._send(session, piece, start)

    def send_last_piece(self, name: str, session: str, piece: bytes, start: int, crc32c: str) -> ObjectInfo:
        """Send a session's last piece, with the checksum of the whole, which creates the object."""
        reply = self._send(session, piece, start, crc32c)
        with self._translate_errors(name):
            created = reply.json()
        return ObjectInfo(name, int(created["generation"]), int(created["size"]), created["crc32c"])

    def delete_session(self, session: str) -> None:
        """Delete a session and what it received.

        Otherwise it lasts a week.
        """
        self._http.delete(session, timeout=TIMEOUT)

    def compose(self, name: str, sources: Sequence[str]) -> ObjectInfo:
        blob = self._bucket.blob(name)
        blob.content_type = CONTENT_TYPE
        blobs = [self._bucket.blob(source) for source in sources]
        with self._translate_errors(name):
            blob.compose(blobs, if_generation_match=0, timeout=TIMEOUT, retry=self._retry)
        return _info(blob)

    def list_page(self, prefix: str, token: str) -> tuple[list[str], str | None]:
        """Return one page of names, and the token of the next page, if there is one."""
        options = {
            "prefix": prefix,
            "page_token": token or None,
            "page_size": LIST_PAGE,
            "fields": "items(name),nextPageToken",
        }
        with self._translate_errors(prefix):
            found = self._client.list_blobs(self._bucket, timeout=TIMEOUT, retry=self._retry, **options)
            names = [blob.name for blob in next(found.pages, ())]
        return names, found.next_page_token

    def delete(self, name: str) -> None:
        with self._translate_errors(name):
            self._bucket.delete_blob(name, timeout=TIMEOUT, retry=self._retry)

    def close(self) -> None:
        self._client.close()

    def _send(self, session: str, piece: bytes, start: int, crc32c: str = "") -> requests.Response:
        """Send a piece until all of it is stored.

        Cloud Storage may store a part of it, and it stores a repeated piece once. The library's own BlobWriter handles
        neither, and it publishes an incomplete object when it is discarded.
        """
        stored, end = start, start + len(piece)
        with self._translate_errors("upload session"):
            for _ in range(MAX_SENDS_PER_PIECE):
                reply = self._put(session, piece[stored - start :], stored, crc32c)
                if reply.status_code != requests.codes.permanent_redirect:
                    return reply
                stored = int(reply.headers.get("Range", "bytes=0--1").removeprefix("bytes=0-")) + 1
                if stored == end and not crc32c:
                    return reply
                if not start <= stored <= end:
                    break
        raise Unavailable(self._name, "upload_incomplete")

    def _put(self, session: str, data: bytes, start: int, crc32c: str) -> requests.Response:
        end = start + len(data)
        span = f"{start}-{end - 1}" if data else "*"
        headers = {"Content-Type": CONTENT_TYPE, "Content-Range": f"bytes {span}/{end if crc32c else '*'}"}
        if crc32c:
            headers["x-goog-hash"] = f"crc32c={crc32c}"

        def put() -> requests.Response:
            reply = self._http.put(session, data=data, headers=headers, timeout=TIMEOUT, allow_redirects=False)
            if reply.status_code == requests.codes.not_found:
                raise Unavailable(self._name, "upload_session_expired")
            if reply.status_code not in (requests.codes.ok, requests.codes.created, requests.codes.permanent_redirect):
                raise exceptions.from_http_status(reply.status_code, "upload session")  # the URL is not for logs
            return reply

        answer: requests.Response = self._retry(put)()
        return answer

    @contextmanager
    def _translate_errors(self, object_name: str) -> Iterator[None]:
        try:
            yield
        except tuple(ERRORS) as exc:
            error = next(error for kind, error in ERRORS.items() if isinstance(exc, kind))
            if error is Unavailable:
                raise Unavailable(self._name, type(exc).__name__) from exc
            raise error(object_name) from exc


def _info(blob: Blob) -> ObjectInfo:
    return ObjectInfo(blob.name, blob.generation, blob.size, blob.crc32c)
