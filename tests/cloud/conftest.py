"""The Cloud Storage adapter on the strict fake, with the fake at hand."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from promptforge.adapters.gcp.billing import BilledOperations
from promptforge.adapters.gcp.objects import BucketObjects
from promptforge.adapters.gcp.signing import SignedUrls
from tests.fakes.service_account_keys import DOWNLOADER, UPLOADER, key_credentials
from tests.fakes.storage import FakeStorage, fake_storage
from tests.harness.clock import ManualClock

OpenBucket = Callable[[float], BucketObjects]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def operations() -> BilledOperations:
    return BilledOperations()


@pytest.fixture
async def storage(clock: ManualClock) -> AsyncIterator[FakeStorage]:
    async with fake_storage(clock) as storage:
        storage.make_bucket("bucket")
        yield storage


@pytest.fixture
def urls(storage: FakeStorage, clock: ManualClock, operations: BilledOperations) -> Iterator[SignedUrls]:
    urls = SignedUrls(key_credentials(UPLOADER), key_credentials(DOWNLOADER), operations, clock, storage.url)
    yield urls
    urls.close()


@pytest.fixture
def open_bucket(storage: FakeStorage, urls: SignedUrls, operations: BilledOperations) -> Iterator[OpenBucket]:
    """Open the bucket with an adapter that repeats failed calls for a number of seconds."""
    opened: list[BucketObjects] = []

    def open_again(retry_seconds: float) -> BucketObjects:
        opened.append(BucketObjects("bucket", urls, operations, storage.url, retry_seconds))
        return opened[-1]

    yield open_again
    for bucket in opened:
        bucket.close()


@pytest.fixture
def bucket(open_bucket: OpenBucket) -> BucketObjects:
    return open_bucket(20)
