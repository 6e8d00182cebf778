"""Daily spend quotas.

A job reserves its share when it is created and releases the unused part when it finishes.

Both happen in the commit that creates or finishes the job, so neither is lost or done twice.
"""

import hashlib
import random

from promptforge.domain.job import Job
from promptforge.domain.limits.pricing import usd_to_nanos
from promptforge.domain.limits.spend_quota import SpendQuota
from promptforge.domain.timeouts import QUOTA_RETRY_SECONDS
from promptforge.domain.timestamps import DAY_SECONDS, rfc3339
from promptforge.errors import RequestError
from promptforge.ports.documents import Create, Document, Documents, Update, Write
from promptforge.state.commit import retry_on_conflict


class SpendQuotaStore:
    """Quotas by client."""

    def __init__(self, documents: Documents, rng: random.Random) -> None:
        self._documents = documents
        self._rng = rng

    async def set_daily_limit(self, client: str, usd_per_day: float | None) -> None:
        """Set the amount a client may spend a day; None removes the limit.

        Reservations stay, also without a limit.

        Raises Unavailable when jobs are created or finish all the time.
        """
        limit = None if usd_per_day is None else usd_to_nanos(usd_per_day)

        async def attempt() -> None:
            document = await self._documents.get(_path(client))
            if document:
                write: Write = _replace(document, _parse(document).limited_to(limit))
            else:
                quota = SpendQuota(client=client, daily_limit_nanos=limit)
                write = Create(_path(client), quota.model_dump(mode="json"))
            await self._documents.commit([write])

        await retry_on_conflict(self._rng, attempt)

    async def reserve(self, job: Job, active_jobs: int) -> tuple[Job, list[Write]]:
        """Return a new job limited to its share of the quota, and the writes of the commit that creates it.

        `active_jobs` is the number of the client's unfinished jobs. Raises RequestError `price_unknown` for a model
        without a price, `spend_limit` when the quota is exhausted.
        """
        document = await self._documents.get(_path(job.client))
        quota = _parse(document).for_day(_day(job.created_at)) if document else None
        if document is None or quota is None or (available := quota.available) is None:
            return job, []
        if job.price is None:
            detail = f"This client has a daily quota, and model {job.model} has no configured price."
            raise RequestError("price_unknown", detail)
        if available == 0:
            until_midnight = DAY_SECONDS - int(job.created_at % DAY_SECONDS)
            detail = "Daily quota exhausted (spent or reserved by active jobs)."
            retry_after = min(QUOTA_RETRY_SECONDS, until_midnight) if active_jobs else until_midnight
            raise RequestError("spend_limit", detail, retry_after=retry_after)
        share = available if job.max_cost_nanos is None else min(available, job.max_cost_nanos)
        return job.within_quota(share, quota.day), [_replace(document, quota.reserve(share))]

    async def release_unused(self, job: Job) -> list[Write]:
        """Return the writes of the commit that finishes a job: they release what it did not spend, on its day only."""
        document = await self._documents.get(_path(job.client)) if job.quota_day else None
        quota = _parse(document) if document else None
        if document is None or quota is None or quota.day != job.quota_day:
            return []
        unused = (job.max_cost_nanos or 0) - job.cost_nanos
        return [_replace(document, quota.reserve(-unused))]


def _replace(document: Document, quota: SpendQuota) -> Update:
    return Update(document.path, quota.model_dump(mode="json"), document.version)


def _parse(document: Document) -> SpendQuota:
    return SpendQuota.model_validate(document.data)


def _day(seconds: float) -> str:
    return rfc3339(seconds)[:10]


def _path(client: str) -> str:
    return f"clients/{hashlib.sha256(client.encode()).hexdigest()[:32]}"
