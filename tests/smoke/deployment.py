"""A deployment as its clients and unauthorized callers see it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from promptforge.client.async_client import AsyncClient, as_signed

GOOGLE = "https://storage.googleapis.com"
REJECTED = (400, 401, 403)
UPLOAD_HEADERS = {"Content-Type": "application/octet-stream"}


class CheckFailed(Exception):
    """The deployment does not behave as required."""


class CheckSkipped(Exception):
    """The reason why a check does not apply."""


class StorageKind(StrEnum):
    """The server behind the signed URLs."""

    GOOGLE = "Cloud Storage"
    ENGINE = "the engine of one machine"
    EMULATOR = "an emulator"


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int
    body: bytes

    @property
    def code(self) -> str:
        """The code of the problem details."""
        return str(json.loads(self.body).get("code"))


@dataclass
class Deployment:
    """The addresses of a deployment, and the data of its first job.

    `upload_url` is the upload URL of that job, `results` are the entries of its result files.
    `wait_for_expiry` permits checks that wait until URLs expire.
    """

    url: str
    key: str
    other_key: str
    function_url: str
    buckets: tuple[str, ...]
    wait_for_expiry: bool
    folder: Path
    http: aiohttp.ClientSession
    upload_url: str = ""
    job_id: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)

    def client(self, key: str | None = None) -> AsyncClient:
        """Return a client of the API."""
        return AsyncClient(self.url, self.key if key is None else key)

    def url_of(self, function: str, path: str) -> str:
        """Return the URL of an API path."""
        return self.url.replace("{function}", function) + path

    @property
    def storage(self) -> StorageKind:
        """The server behind the signed URLs, derived from the upload URL."""
        if not self.upload_url:
            raise CheckSkipped("there is no upload URL")
        if self.upload_url.startswith(f"{GOOGLE}/"):
            return StorageKind.GOOGLE
        same = urlsplit(self.upload_url).netloc == urlsplit(self.url).netloc
        return StorageKind.ENGINE if same else StorageKind.EMULATOR

    def require_storage(self, *kinds: StorageKind) -> None:
        """Raise CheckSkipped unless the storage is of one of these kinds."""
        if self.storage not in kinds:
            raise CheckSkipped(f"{self.storage} does not do this")

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The result files of the first job."""
        if not self.results:
            raise CheckSkipped("no job was finished")
        return self.results

    async def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Send a request to the URL as it is, without redirects."""
        request = self.http.request(method, as_signed(url), headers=headers, data=body or None, allow_redirects=False)
        async with request as response:
            return Response(response.status, await response.read())

    async def call(self, method: str, function: str, path: str, key: str) -> Response:
        """Call the API at a path below /v1/jobs."""
        return await self.send(method, self.url_of(function, f"/v1/jobs/{path}"), {"X-API-Key": key} if key else None)

    async def expect_rejected(self, name: str, method: str, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Raise CheckFailed unless the request is rejected."""
        response = await self.send(method, url, headers, b"{}" if method in ("POST", "PUT") else b"")
        if response.status not in REJECTED:
            raise CheckFailed(f"{name} returned {response.status}")


def bucket_of(url: str) -> str:
    """Return the bucket of a signed URL of Cloud Storage."""
    return urlsplit(url).path.split("/")[1]


def unsigned(url: str) -> str:
    """Return a signed URL without its query."""
    return url.partition("?")[0]
