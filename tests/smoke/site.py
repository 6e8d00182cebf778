"""A deployment as its clients and strangers see it."""

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
REFUSED = (400, 401, 403)
UPLOAD = {"Content-Type": "application/octet-stream"}


class Wrong(Exception):
    """What was seen must not be."""


class Skipped(Exception):
    """Why a check says nothing here."""


class Storage(StrEnum):
    """Who stands behind the signed URLs."""

    GOOGLE = "Cloud Storage"
    OURS = "the engine of one machine"
    EMULATOR = "an emulator"


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    body: bytes

    @property
    def code(self) -> str:
        """The stable word of a problem."""
        return str(json.loads(self.body).get("code"))


@dataclass
class Site:
    """Where everything is, and what the first job left: `job_id`, the URL its file went to, and its results' URLs."""

    url: str
    key: str
    other_key: str
    function_url: str
    buckets: tuple[str, ...]
    patient: bool
    folder: Path
    http: aiohttp.ClientSession
    upload_url: str = ""
    job_id: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)

    def client(self, key: str | None = None) -> AsyncClient:
        """A client of the API."""
        return AsyncClient(self.url, self.key if key is None else key)

    def url_of(self, function: str, path: str) -> str:
        """The URL of a call of the API."""
        return self.url.replace("{function}", function) + path

    @property
    def storage(self) -> Storage:
        """Who stands behind the signed URLs, by the looks of one."""
        if not self.upload_url:
            raise Skipped("there is no upload URL")
        if self.upload_url.startswith(f"{GOOGLE}/"):
            return Storage.GOOGLE
        same = urlsplit(self.upload_url).netloc == urlsplit(self.url).netloc
        return Storage.OURS if same else Storage.EMULATOR

    def needs(self, *which: Storage) -> None:
        """Raise Skipped where what a check looks at is not done."""
        if self.storage not in which:
            raise Skipped(f"{self.storage} does not do this")

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The results of the first job."""
        if not self.results:
            raise Skipped("no job was finished")
        return self.results

    async def ask(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
        """Send a request as it stands, and go nowhere else."""
        sent = self.http.request(method, as_signed(url), headers=headers, data=body or None, allow_redirects=False)
        async with sent as reply:
            return Reply(reply.status, await reply.read())

    async def call(self, method: str, function: str, path: str, key: str) -> Reply:
        """Call the API, about `path` among the jobs."""
        return await self.ask(method, self.url_of(function, f"/v1/jobs/{path}"), {"X-API-Key": key} if key else None)

    async def refuses(self, what: str, method: str, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Raise Wrong unless a request is refused."""
        status = (await self.ask(method, url, headers, b"{}" if method in ("POST", "PUT") else b"")).status
        if status not in REFUSED:
            raise Wrong(f"{what} was answered with {status}")


def bucket_of(url: str) -> str:
    """The bucket of a signed URL of Cloud Storage."""
    return urlsplit(url).path.split("/")[1]


def unsigned(url: str) -> str:
    """A signed URL without its query."""
    return url.partition("?")[0]
