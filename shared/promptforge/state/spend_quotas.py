"""Keeps clients within what they may spend in a day: a job is promised its share when it is opened, and what it did not
use is free again when it has ended. Both happen in the commit that opens or ends the job, so neither is lost or done
twice."""

import asyncio
import hashlib
from contextlib import suppress

from promptforge.domain.job import Job
from promptforge.domain.limits.pricing import usd_to_nanos
from promptforge.domain.limits.spend_quota import SpendQuota
from promptforge.domain.timestamps import DAY_SECONDS, rfc3339
from promptforge.errors import Conflict, RequestError
from promptforge.ports.documents import Create, Document, Documents, Update, Write

QUOTA_RETRY_SECONDS = 30  # a job that ends may leave something of its share
MAX_TRIES = 40
PAUSE_SECONDS = 0.05


async def set_limit(documents: Documents, client: str, usd_a_day: float | None) -> None:
    """Set what a client may spend in a day; None lifts the limit. What is promised already stays promised, and is kept
    in mind without a limit too. Raises Conflict if jobs are opened or end all the time."""
    max_nanos = None if usd_a_day is None else usd_to_nanos(usd_a_day)
    for _ in range(MAX_TRIES):
        document = await documents.get(_path(client))
        if document:
            allowance = _allowance(document).model_copy(update={"daily_limit_nanos": max_nanos})
            write: Write = _replace(document, allowance)
        else:
            write = Create(
                _path(client), SpendQuota(client=client, daily_limit_nanos=max_nanos).model_dump(mode="json")
            )
        with suppress(Conflict):
            await documents.commit([write])
            return
        await asyncio.sleep(PAUSE_SECONDS)
    raise Conflict(_path(client))


async def reserve(documents: Documents, job: Job, open_jobs: int) -> tuple[Job, list[Write]]:
    """A new job as its client, who has so many others open, may have it, and what is to be written in the same commit.
    Raises RequestError for a model without a price where the client has a limit, and when the day's is used up."""
    document = await documents.get(_path(job.client))
    allowance = _allowance(document).for_day(_day(job.created_at)) if document else None
    if document is None or allowance is None or allowance.daily_limit_nanos is None:
        return job, []
    if job.price is None:
        detail = "You may spend only so much a day, and the operator has set no price for this model."
        raise RequestError("price_unknown", detail)
    left = allowance.available(allowance.daily_limit_nanos)
    if left == 0:
        until_midnight = DAY_SECONDS - int(job.created_at % DAY_SECONDS)
        detail = "What you may spend today is spent, or promised to jobs that have not ended."
        retry_after = min(QUOTA_RETRY_SECONDS, until_midnight) if open_jobs else until_midnight
        raise RequestError("spend_limit", detail, retry_after=retry_after)
    share = left if job.max_cost_nanos is None else min(left, job.max_cost_nanos)
    limited = job.model_copy(update={"max_cost_nanos": share, "quota_day": allowance.day})
    return limited, [_replace(document, allowance.reserve(share))]


async def release_unused(documents: Documents, ended: Job) -> list[Write]:
    """What is to be written in the commit that ends a job: what it did not use is free again, on its day."""
    document = await documents.get(_path(ended.client)) if ended.quota_day else None
    allowance = _allowance(document) if document else None
    if document is None or allowance is None or allowance.day != ended.quota_day:
        return []
    unused = (ended.max_cost_nanos or 0) - ended.cost_nanos
    return [_replace(document, allowance.reserve(-unused))]


def _replace(document: Document, allowance: SpendQuota) -> Update:
    return Update(document.path, allowance.model_dump(mode="json"), document.version)


def _allowance(document: Document) -> SpendQuota:
    return SpendQuota.model_validate(document.data)


def _day(seconds: float) -> str:
    return rfc3339(seconds)[:10]


def _path(client: str) -> str:
    return f"clients/{hashlib.sha256(client.encode()).hexdigest()[:32]}"
