"""Signed URLs: as Google's library would write them, signed by IAM, and rejected when they are changed."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from google.cloud.storage import Client

from promptforge.adapters.clock import SystemClock
from promptforge.adapters.gcp.billing import BilledOperations
from promptforge.adapters.gcp.signing import IN_FLIGHT, MAX_URL_SECONDS, IamAccount, SignedUrls
from promptforge.errors import Unavailable
from tests.fakes.iam import FakeIam, fake_iam
from tests.fakes.service_account_keys import DOWNLOADER, UPLOADER, anonymous_credentials, key_credentials
from tests.fakes.storage import FakeStorage
from tests.harness.clock import ManualClock

NAME = "job_1/input.jsonl"
TYPE = {"Content-Type": "application/octet-stream"}


@pytest.fixture
async def iam() -> AsyncIterator[FakeIam]:
    async with fake_iam(UPLOADER, DOWNLOADER) as iam:
        yield iam


@pytest.fixture
async def by_iam(iam: FakeIam, storage: FakeStorage, clock: ManualClock) -> AsyncIterator[SignedUrls]:
    accounts = [IamAccount(email, iam.url) for email in (UPLOADER, DOWNLOADER)]
    urls = SignedUrls(accounts[0], accounts[1], BilledOperations(), clock, storage.url)
    yield urls
    urls.close()
    for account in accounts:
        account.close()


@pytest.mark.parametrize("name", [NAME, "a b/ü?#%&+~'()*", "x"])
async def test_signed_url_equals_url_of_google_library(name: str) -> None:
    accounts = key_credentials(UPLOADER), key_credentials(DOWNLOADER)
    urls = SignedUrls(*accounts, BilledOperations(), SystemClock())
    blob = Client(project="none", credentials=anonymous_credentials()).bucket("bucket").blob(name)
    options = {"version": "v4", "expiration": timedelta(seconds=900)}
    answer = {"response_disposition": 'attachment; filename="a.jsonl"', "response_type": "application/x-ndjson"}

    for _ in range(3):  # the library reads the system clock, so both URLs must be signed in the same second
        second = int(time.time())
        signed = [await urls.put("bucket", name, second + 900), await urls.get("bucket", name, "a.jsonl", second + 900)]
        expected = [
            blob.generate_signed_url(
                **options, method="PUT", content_type=TYPE["Content-Type"], credentials=accounts[0]
            ),
            blob.generate_signed_url(**options, method="GET", **answer, credentials=accounts[1]),
        ]
        if int(time.time()) == second:
            break
    urls.close()

    assert signed == expected


async def test_signed_url_by_iam_is_valid(by_iam: SignedUrls, storage: FakeStorage, clock: ManualClock) -> None:
    async with httpx.AsyncClient() as http:
        put = await http.put(await by_iam.put("bucket", NAME, clock.now() + 900), content=b"one", headers=TYPE)
        got = await http.get(await by_iam.get("bucket", NAME, "input.jsonl", clock.now() + 900))

    assert (put.status_code, got.status_code, got.content) == (200, 200, b"one")
    assert got.headers["content-disposition"] == 'attachment; filename="input.jsonl"'


CHANGES = [
    ("PUT", "X-Goog-Expires=900", "X-Goog-Expires=901", TYPE),
    ("PUT", "X-Goog-Expires=900", "X-Goog-Expires=604801", TYPE),
    ("PUT", "X-Goog-Expires=900", "X-Goog-Expires=soon", TYPE),
    ("PUT", "X-Goog-Date=2", "X-Goog-Date=3", TYPE),
    ("PUT", "input.jsonl", "other.jsonl", TYPE),
    ("PUT", "/bucket/", "/bucket//", TYPE),
    ("PUT", "X-Goog-SignedHeaders=content-type%3Bhost", "X-Goog-SignedHeaders=host", TYPE),
    ("PUT", "X-Goog-Signature=", "X-Goog-Signature=00", TYPE),
    ("PUT", "X-Goog-Signature=", "X-Goog-Signature=zz", TYPE),
    ("PUT", "X-Goog-Signature=", "signature=", TYPE),
    ("PUT", "upload%40", "download%40", TYPE),
    ("PUT", "upload%40", "stranger%40", TYPE),
    ("PUT", "?", "?x=1&", TYPE),
    ("PUT", "?", "?X-Goog-Expires=900&", TYPE),
    ("PUT", "", "", {"Content-Type": "text/plain"}),
    ("PUT", "", "", {"Content-Type": "application/octet-stream; charset=utf-8"}),
    ("PUT", "", "", {}),
    ("PUT", "", "", {**TYPE, "x-goog-meta-mine": "1"}),
    ("PUT", "", "", {**TYPE, "Host": "elsewhere"}),
    ("POST", "", "", TYPE),
    ("GET", "", "", TYPE),
    ("DELETE", "", "", TYPE),
]


@pytest.mark.parametrize(("method", "old", "new", "headers"), CHANGES)
async def test_signed_url_changed_is_rejected(
    storage: FakeStorage, urls: SignedUrls, clock: ManualClock, method: str, old: str, new: str, headers: dict[str, str]
) -> None:
    url = await urls.put("bucket", NAME, clock.now() + 900)
    assert old in url

    async with httpx.AsyncClient() as http:
        rejected = await http.request(method, url.replace(old, new, 1), content=b"mine", headers=headers)
        assert 400 <= rejected.status_code < 500
        assert storage.buckets["bucket"].objects == {}
        assert (await http.put(url, content=b"one", headers=TYPE)).status_code == 200


async def test_signing_many_urls_is_fast_and_bounded(by_iam: SignedUrls, iam: FakeIam, clock: ManualClock) -> None:
    began, worked = time.perf_counter(), time.process_time()

    urls = await asyncio.gather(*(by_iam.get("bucket", f"{n}", f"{n}", clock.now() + 900) for n in range(500)))

    seconds, work = time.perf_counter() - began, time.process_time() - worked
    report = f"500 URLs: {seconds:.2f} s, {work:.2f} s of CPU with IAM's own, at most {iam.max_in_flight} in flight"
    print(report)  # noqa: T201 - shown by `pytest -rP`
    assert len(set(urls)) == 500
    assert iam.calls == 500
    assert 1 < iam.max_in_flight <= IN_FLIGHT
    assert work < 2, report  # 1.2 ms a URL for the signing and as much for IAM; other processes do not count


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_signing_with_one_fault_is_repeated(
    by_iam: SignedUrls, iam: FakeIam, clock: ManualClock, status: int
) -> None:
    iam.error_statuses = [status]

    assert "X-Goog-Signature" in await by_iam.put("bucket", NAME, clock.now() + 900)
    assert iam.calls == 2


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_signing_without_permission_raises_unavailable(
    by_iam: SignedUrls, iam: FakeIam, clock: ManualClock, status: int
) -> None:
    iam.error_statuses = [status]

    with pytest.raises(Unavailable) as caught:
        await by_iam.put("bucket", NAME, clock.now() + 900)
    assert "Signature" not in str(caught.value)
    assert iam.calls == 1


async def test_signing_without_iam_raises_unavailable(by_iam: SignedUrls, iam: FakeIam, clock: ManualClock) -> None:
    iam.error_statuses = [503] * 10

    with pytest.raises(Unavailable):
        await by_iam.put("bucket", NAME, clock.now() + 900)


async def test_signed_url_expires_after_a_week_at_most(urls: SignedUrls, clock: ManualClock) -> None:
    await urls.put("bucket", NAME, clock.now() + MAX_URL_SECONDS)

    with pytest.raises(ValueError, match="604800"):
        await urls.put("bucket", NAME, clock.now() + MAX_URL_SECONDS + 1)
