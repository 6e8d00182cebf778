"""The status of a job, as its client sees it."""

from pydantic import BaseModel

from promptforge.api.auth import get_owned_job
from promptforge.context import AppContext
from promptforge.domain.job import Job, JobError, Status
from promptforge.domain.limits.pricing import NANOS_PER_USD
from promptforge.domain.timestamps import Rfc3339, rfc3339


class JobStatusResponse(BaseModel):
    """The answer to GET /v1/jobs/{job_id}/status.

    The counts are 0 until the file has been read. `cost_usd` is null where the operator has set no price;
    `max_cost_usd` is the ordered limit, or the job's share of a daily quota.
    """

    job_id: str
    status: Status
    provider: str
    model: str
    max_retries: int
    prompt_count: int
    completed_count: int
    failed_count: int
    tokens_used: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    max_cost_usd: float | None
    created_at: Rfc3339
    started_processing_at: Rfc3339 | None
    completed_at: Rfc3339 | None
    error: JobError | None
    waiting: JobError | None


async def job_status(context: AppContext, client: str, job_id: str) -> JobStatusResponse:
    """Return the status of the client's job.

    Raises RequestError as `get_owned_job`.
    """
    return await describe_job(context, await get_owned_job(context, client, job_id))


async def describe_job(context: AppContext, job: Job) -> JobStatusResponse:
    """Return what a client sees of a job.

    A stopped job shows its error before it has finished.
    """
    if job.open and job.chunk_count is not None:  # until the job finishes, its counts are in its chunks
        job = job.with_totals(await context.chunks.totals(job.job_id))
    return JobStatusResponse(
        job_id=job.job_id,
        status=job.status,
        provider=job.provider,
        model=job.model,
        max_retries=job.max_retries,
        prompt_count=job.prompt_count,
        completed_count=job.completed_count,
        failed_count=job.failed_count,
        tokens_used=job.tokens_used,
        input_tokens=job.tokens_used - job.output_tokens,
        output_tokens=job.output_tokens,
        cost_usd=job.cost_nanos / NANOS_PER_USD if job.price else None,
        max_cost_usd=None if job.max_cost_nanos is None else job.max_cost_nanos / NANOS_PER_USD,
        created_at=rfc3339(job.created_at),
        started_processing_at=rfc3339(job.started_processing_at),
        completed_at=rfc3339(job.completed_at),
        error=job.error or job.stop_reason,
        waiting=job.waiting if job.open and context.clock.now() < job.waiting_until else None,
    )
