"""Signed URLs over HTTP: used once, in time, unchanged.

The form of a URL is specific to its adapter, so no test here depends on it.
"""

import httpx
import pytest

from promptforge.ports.objects import Objects
from tests.contract.object_data import content
from tests.contract.object_stores import Store
from tests.harness.clock import ManualClock

NAME = "job_1/input.jsonl"
LIFETIME_SECONDS = 900


@pytest.fixture
def uploads(store: Store) -> Objects:
    return store.open("uploads")


@pytest.fixture
def results(store: Store) -> Objects:
    return store.open("results")


async def upload_url(uploads: Objects, clock: ManualClock, name: str = NAME) -> str:
    return await uploads.upload_url(name, clock.now() + LIFETIME_SECONDS)


async def put(store: Store, url: str, data: bytes) -> httpx.Response:
    return await store.http.put(url, content=data, headers={"Content-Type": "application/octet-stream"})


def is_rejected(reply: httpx.Response) -> bool:
    return 400 <= reply.status_code < 500


@pytest.mark.parametrize("data", [b"", b"one", b"x" * 3_000_000])
async def test_upload_url_put_creates_object(store: Store, uploads: Objects, clock: ManualClock, data: bytes) -> None:
    reply = await put(store, await upload_url(uploads, clock), data)

    assert reply.status_code == 200
    assert await content(uploads, NAME) == data


async def test_upload_url_second_put_is_rejected(store: Store, uploads: Objects, clock: ManualClock) -> None:
    url = await upload_url(uploads, clock)
    await put(store, url, b"one")

    for data in (b"two", b"one"):
        assert (await put(store, url, data)).status_code == 403
    assert await content(uploads, NAME) == b"one"


async def test_upload_url_signed_later_does_not_replace_object(
    store: Store, uploads: Objects, clock: ManualClock
) -> None:
    await put(store, await upload_url(uploads, clock), b"one")
    clock.advance(60)

    assert (await put(store, await upload_url(uploads, clock), b"two")).status_code == 403
    assert await content(uploads, NAME) == b"one"


async def test_upload_url_put_after_expiry_is_rejected(store: Store, uploads: Objects, clock: ManualClock) -> None:
    url = await upload_url(uploads, clock)
    clock.advance(LIFETIME_SECONDS)

    assert is_rejected(await put(store, url, b"one"))
    assert await uploads.stat(NAME) is None


async def test_upload_url_expired_at_signing_is_rejected(store: Store, uploads: Objects, clock: ManualClock) -> None:
    for late in (0.0, 0.5, 1.0, 86_400.0):
        url = await uploads.upload_url(NAME, clock.now() - late)

        assert is_rejected(await put(store, url, b"one"))
    assert await uploads.stat(NAME) is None


async def test_upload_url_is_valid_for_its_object_only(store: Store, uploads: Objects, clock: ManualClock) -> None:
    url = (await upload_url(uploads, clock)).replace("job_1", "job_2")

    assert is_rejected(await put(store, url, b"one"))
    assert await uploads.stat("job_2/input.jsonl") is None


async def test_upload_url_is_valid_for_its_bucket_only(
    store: Store, uploads: Objects, results: Objects, clock: ManualClock
) -> None:
    url = (await upload_url(uploads, clock)).replace("uploads/", "results/")

    assert is_rejected(await put(store, url, b"one"))
    assert await results.stat(NAME) is None


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_upload_url_rejects_other_methods(
    store: Store, uploads: Objects, clock: ManualClock, method: str
) -> None:
    url = await upload_url(uploads, clock)
    await put(store, url, b"one")

    assert is_rejected(await store.http.request(method, url))
    assert await content(uploads, NAME) == b"one"


@pytest.mark.parametrize("data", [b"", b"one\n", b"x" * 3_000_000])
async def test_download_url_returns_object_with_filename(
    store: Store, results: Objects, clock: ManualClock, data: bytes
) -> None:
    await results.create("job_1/results_part_001.jsonl", data)
    url = await results.download_url("job_1/results_part_001.jsonl", "part one.jsonl", clock.now() + LIFETIME_SECONDS)

    reply = await store.http.get(url)

    assert (reply.status_code, reply.content) == (200, data)
    assert reply.headers["content-disposition"] == "attachment; filename*=utf-8''part%20one.jsonl"
    assert reply.headers["content-type"].startswith("application/x-ndjson")


async def test_download_url_supports_range(store: Store, results: Objects, clock: ManualClock) -> None:
    await results.create(NAME, b"0123456789")
    url = await results.download_url(NAME, "part.jsonl", clock.now() + LIFETIME_SECONDS)

    reply = await store.http.get(url, headers={"Range": "bytes=3-6"})

    assert (reply.status_code, reply.content) == (206, b"3456")


async def test_download_url_of_missing_object_is_not_found(store: Store, results: Objects, clock: ManualClock) -> None:
    url = await results.download_url(NAME, "part.jsonl", clock.now() + LIFETIME_SECONDS)

    assert (await store.http.get(url)).status_code == 404


async def test_download_url_after_expiry_is_rejected(store: Store, results: Objects, clock: ManualClock) -> None:
    await results.create(NAME, b"one")
    url = await results.download_url(NAME, "part.jsonl", clock.now() + LIFETIME_SECONDS)
    clock.advance(LIFETIME_SECONDS)

    assert is_rejected(await store.http.get(url))


@pytest.mark.parametrize(("old", "new"), [("part.jsonl", "evil.html"), ("job_1", "job_2")])
async def test_download_url_changed_is_rejected(
    store: Store, results: Objects, clock: ManualClock, old: str, new: str
) -> None:
    await results.create(NAME, b"one")
    await results.create("job_2/input.jsonl", b"two")
    url = await results.download_url(NAME, "part.jsonl", clock.now() + LIFETIME_SECONDS)

    assert old in url
    assert is_rejected(await store.http.get(url.replace(old, new)))


async def test_download_url_rejects_put(store: Store, results: Objects, clock: ManualClock) -> None:
    url = await results.download_url(NAME, "part.jsonl", clock.now() + LIFETIME_SECONDS)

    assert is_rejected(await put(store, url, b"mine"))
    assert await results.stat(NAME) is None


async def test_urls_accept_any_object_name(store: Store, uploads: Objects, clock: ManualClock) -> None:
    for name in ("a b", "a/b", "\u00fc\u4e2d", "a?b#c", "a%2Fb", "a+b", "a&expires=9999999999", "a~b"):
        reply = await put(store, await upload_url(uploads, clock, name), name.encode())

        assert reply.status_code == 200
        assert await content(uploads, name) == name.encode()
