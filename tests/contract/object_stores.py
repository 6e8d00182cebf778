"""The stores under test in the suites of objects and signed URLs, and the known gaps of fake-gcs-server."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import httpx
from starlette.applications import Starlette

from promptforge.adapters.gcp.billing import BilledOperations
from promptforge.adapters.gcp.objects import BucketObjects
from promptforge.adapters.gcp.signing import SignedUrls
from promptforge.adapters.local.objects import FileObjects
from promptforge.adapters.local.urls import UrlSigner
from promptforge.bootstrap import build_context
from promptforge.engine.signed_url_routes import SignedUrlRoutes
from promptforge.ports.clock import Clock
from promptforge.ports.objects import Objects
from promptforge.settings import Settings
from tests.contract.stores import OpenDatabase, OpenObjects
from tests.fakes.gcs_emulator import GcsEmulator
from tests.fakes.service_account_keys import DOWNLOADER, UPLOADER, key_credentials
from tests.fakes.storage import fake_storage
from tests.harness.context import with_adapters

URL = "http://machine"
RETRY_SECONDS = 3.0

NO_SIGNATURES = "fake-gcs-server checks no signature, method, object or time of a signed URL"
FAKE_GCS_GAPS: Mapping[str, str] = {
    "test_compose_with_missing_source_creates_nothing": "fake-gcs-server answers 500 if a compose source is missing",
    "test_compose_over_other_content_raises_object_exists": "fake-gcs-server ignores the precondition of a compose",
    "test_objects_create_in_many_requests_is_create_only": "fake-gcs-server ignores the precondition of a session",
    "test_upload_url_second_put_is_rejected": "fake-gcs-server knows no role that may not overwrite",
    "test_upload_url_signed_later_does_not_replace_object": "fake-gcs-server knows no role that may not overwrite",
    "test_upload_url_put_after_expiry_is_rejected": NO_SIGNATURES,
    "test_upload_url_expired_at_signing_is_rejected": NO_SIGNATURES,
    "test_upload_url_is_valid_for_its_object_only": NO_SIGNATURES,
    "test_upload_url_is_valid_for_its_bucket_only": NO_SIGNATURES,
    "test_upload_url_rejects_other_methods": NO_SIGNATURES,
    "test_download_url_returns_object_with_filename": "fake-gcs-server ignores response-content-*",
    "test_download_url_after_expiry_is_rejected": NO_SIGNATURES,
    "test_download_url_changed_is_rejected": NO_SIGNATURES,
    "test_download_url_rejects_put": NO_SIGNATURES,
}


@dataclass(frozen=True)
class Store:
    """A store that opens a bucket anew at each call, as another process does.

    `http` is a client for its signed URLs.
    """

    open: OpenObjects
    http: httpx.AsyncClient


@asynccontextmanager
async def files(folder: Path, open_database: OpenDatabase, clock: Clock) -> AsyncIterator[Store]:
    """Open the store on files and SQLite, with the engine's routes for signed URLs."""
    signer = UrlSigner(b"key", URL)

    def open_again(bucket: str) -> FileObjects:
        return FileObjects(bucket, folder / "objects" / bucket, open_database(), signer)

    app = build_context(Settings(data_dir=folder, public_url=URL), clock)
    served = with_adapters(app, uploads=open_again("uploads"), results=open_again("results"))
    transport = httpx.ASGITransport(Starlette(routes=[SignedUrlRoutes(served).route]))
    try:
        async with httpx.AsyncClient(transport=transport) as http:
            yield Store(open_again, http)
    finally:
        await app.close()


@asynccontextmanager
async def strict(clock: Clock) -> AsyncIterator[Store]:
    """The Cloud Storage adapter on the project's own strict fake."""
    async with fake_storage(clock) as storage, _opened(storage.url, clock) as store:

        def open_again(bucket: str) -> Objects:
            storage.make_bucket(bucket)
            return store.open(bucket)

        yield replace(store, open=open_again)


@asynccontextmanager
async def emulated(server: GcsEmulator, clock: Clock) -> AsyncIterator[Store]:
    """Open the Cloud Storage adapter on fake-gcs-server, in buckets of this test only."""
    run, made = uuid4().hex, set[str]()
    async with _opened(server.url, clock) as store:

        def open_again(bucket: str) -> Objects:
            if bucket not in made:
                server.make_bucket(f"{run}-{bucket}")
                made.add(bucket)
            return store.open(f"{run}-{bucket}")

        yield replace(store, open=open_again)


@asynccontextmanager
async def _opened(url: str, clock: Clock) -> AsyncIterator[Store]:
    operations, opened = BilledOperations(), list[BucketObjects]()
    urls = SignedUrls(key_credentials(UPLOADER), key_credentials(DOWNLOADER), operations, clock, url)

    def open_again(bucket: str) -> Objects:
        opened.append(BucketObjects(bucket, urls, operations, url, RETRY_SECONDS))
        return opened[-1]

    try:
        async with httpx.AsyncClient() as http:
            yield Store(open_again, http)
    finally:
        for bucket in opened:
            bucket.close()
        urls.close()
