"""Tells a client how its job stands and where its results are."""

import asyncio

from pydantic import BaseModel

from promptforge.api.auth import get_owned_job
from promptforge.context import AppContext
from promptforge.domain.job import Job, JobError, Status
from promptforge.domain.limits.pricing import NANOS_PER_USD
from promptforge.domain.manifest import MANIFEST_FILE, result_files
from promptforge.domain.timestamps import Rfc3339, rfc3339
from promptforge.errors import RequestError


class JobStatusResponse(BaseModel):
    """The answer to GET /v1/jobs/{job_id}/status. The counts are 0 until the file has been read. `cost_usd` is null
    where the operator has set no price; `max_cost_usd` is what was ordered, or what was left of the client's day."""

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


class ResultFile(BaseModel):
    """A file to download."""

    filename: str
    url: str
    expires_at: Rfc3339


class JobResultsResponse(BaseModel):
    """The answer to GET /v1/jobs/{job_id}/results."""

    job_id: str
    status: Status
    files: list[ResultFile]
    manifest: ResultFile


async def job_status(app: AppContext, client: str, job_id: str) -> JobStatusResponse:
    """How the client's job stands now. Raises RequestError as `owned_job`."""
    return await describe_job(app, await get_owned_job(app, client, job_id))


async def describe_job(app: AppContext, job: Job) -> JobStatusResponse:
    """What a client is told of a job. A job that was stopped says why before it has ended."""
    if job.open and job.chunk_count is not None:  # its counts are still in its chunks
        sums = await app.ledger.totals(job.job_id)
        now = {
            "completed_count": sums["completed"],
            "failed_count": sums["failed"],
            "tokens_used": sums["tokens"],
            "output_tokens": sums["output_tokens"],
            "cost_nanos": sums["cost_nanos"],
        }
        job = job.model_copy(update=now)
    times = {name: rfc3339(getattr(job, name)) for name in ("created_at", "started_processing_at", "completed_at")}
    waiting = job.waiting if job.open and app.clock.now() < job.waiting_until else None
    derived = {
        "error": job.error or job.stop_reason,
        "waiting": waiting,
        "input_tokens": job.tokens_used - job.output_tokens,
        "cost_usd": job.cost_nanos / NANOS_PER_USD if job.price else None,
        "max_cost_usd": None if job.max_cost_nanos is None else job.max_cost_nanos / NANOS_PER_USD,
    }
    return JobStatusResponse.model_validate(job.model_dump() | times | derived)


async def job_results(app: AppContext, client: str, job_id: str) -> JobResultsResponse:
    """Signed URLs of the job's files. Raises RequestError as `owned_job`, and while there is nothing to download."""
    job = await get_owned_job(app, client, job_id)
    if job.open:
        detail = f"The job is {job.status}; its results can be fetched when it has ended."
        raise RequestError("not_finished", detail)
    if job.result_parts is None:
        raise RequestError("no_results", f"The job is {job.status} and produced nothing to download.")
    expires_at = float(int(app.clock.now() + app.settings.download_url_seconds))

    async def file(filename: str) -> ResultFile:
        url = await app.results.download_url(f"{job.job_id}/{filename}", filename, expires_at)
        return ResultFile(filename=filename, url=url, expires_at=rfc3339(expires_at))

    filenames = result_files(job.result_parts)
    *files, manifest = await asyncio.gather(*map(file, [*filenames, MANIFEST_FILE]))
    return JobResultsResponse(job_id=job.job_id, status=job.status, files=files, manifest=manifest)
