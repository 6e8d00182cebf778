"""Keeps clients within what they may spend in a day: a job is promised its share when it is opened, and what it did not
use is free again when it has ended. Both happen in the commit that opens or ends the job, so neither is lost or done
twice."""

import hashlib

from promptforge.domain.allowance import Allowance
from promptforge.domain.job import Job
from promptforge.domain.moment import DAY_SECONDS, rfc3339
from promptforge.domain.money import nanos
from promptforge.errors import ApiError
from promptforge.ports.documents import Create, Delete, Document, Documents, Update, Write


async def set_limit(documents: Documents, client: str, usd_a_day: float | None) -> None:
    """Set what a client may spend in a day; None lifts the limit. What is promised already stays promised.
    Raises Conflict if a job is opened or ends at this very moment."""
    document = await documents.get(_path(client))
    if usd_a_day is None:
        writes: list[Write] = [Delete(document.path, document.version)] if document else []
    elif document is None:
        fresh = Allowance(client=client, max_nanos=nanos(usd_a_day))
        writes = [Create(_path(client), fresh.model_dump(mode="json"))]
    else:
        writes = [_replace(document, _allowance(document).model_copy(update={"max_nanos": nanos(usd_a_day)}))]
    if writes:
        await documents.commit(writes)


async def promised(documents: Documents, job: Job) -> tuple[Job, list[Write]]:
    """A new job as its client may have it, and what is to be written in the same commit. Raises ApiError 422 for a
    model without a price where the client has a limit, 429 when the day's is used up."""
    document = await documents.get(_path(job.client))
    if document is None:
        return job, []
    if job.price is None:
        detail = "You may spend only so much a day, and the operator has set no price for this model."
        raise ApiError(422, "price_unknown", detail)
    allowance, day = _allowance(document), _day(job.created_at)
    left = allowance.left(day)
    if left == 0:
        until_midnight = DAY_SECONDS - int(job.created_at % DAY_SECONDS)
        detail = "What you may spend today is spent, or promised to jobs that have not ended."
        raise ApiError(429, "spend_limit", detail, retry_after=until_midnight)
    share = left if job.max_cost_nanos is None else min(left, job.max_cost_nanos)
    limited = job.model_copy(update={"max_cost_nanos": share, "promised": True})
    return limited, [_replace(document, allowance.promising(day, share))]


async def settled(documents: Documents, ended: Job) -> list[Write]:
    """What is to be written in the commit that ends a job: what it did not use is free again, on its day."""
    document = await documents.get(_path(ended.client)) if ended.promised else None
    allowance, day = _allowance(document) if document else None, _day(ended.created_at)
    if document is None or allowance is None or allowance.day != day:
        return []
    unused = (ended.max_cost_nanos or 0) - ended.cost_nanos
    return [_replace(document, allowance.promising(day, -unused))]


def _replace(document: Document, allowance: Allowance) -> Update:
    return Update(document.path, allowance.model_dump(mode="json"), document.version)


def _allowance(document: Document) -> Allowance:
    return Allowance.model_validate(document.data)


def _day(seconds: float) -> str:
    return rfc3339(seconds)[:10]


def _path(client: str) -> str:
    return f"clients/{hashlib.sha256(client.encode()).hexdigest()[:32]}"
