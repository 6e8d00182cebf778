"""The Cloud Storage adapter on the strict fake, with the fake at hand."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from promptforge.adapters.gcp.billing import BilledOperations
from promptforge.adapters.gcp.objects import BucketObjects
from promptforge.adapters.gcp.signing import SignedUrls
from tests.fakes.service_account_keys import DOWNLOADER, UPLOADER, key_account
from tests.fakes.storage import StrictStorage, strict_storage
from tests.harness.clock import HandClock

OpenBucket = Callable[[float], BucketObjects]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def operations() -> BilledOperations:
    return BilledOperations()


@pytest.fixture
async def storage(clock: HandClock) -> AsyncIterator[StrictStorage]:
    async with strict_storage(clock) as storage:
        storage.make_bucket("bucket")
        yield storage


@pytest.fixture
def urls(storage: StrictStorage, clock: HandClock, operations: BilledOperations) -> Iterator[SignedUrls]:
    urls = SignedUrls(key_account(UPLOADER), key_account(DOWNLOADER), operations, clock, storage.url)
    yield urls
    urls.close()


@pytest.fixture
def open_bucket(storage: StrictStorage, urls: SignedUrls, operations: BilledOperations) -> Iterator[OpenBucket]:
    """Opens the bucket for an adapter that repeats failed calls for a number of seconds."""
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
