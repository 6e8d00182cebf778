"""Tells a client how its job stands and where its results are."""

import asyncio

from pydantic import BaseModel

from promptforge.domain.job import Job, Problem, Status
from promptforge.domain.messages import is_job_id
from promptforge.domain.moment import Rfc3339, rfc3339
from promptforge.errors import ApiError
from promptforge.service import finish
from promptforge.service.app import App


class StatusReply(BaseModel):
    """The answer to GET /v1/jobs/{job_id}/status. The counts are 0 until the file has been read."""

    job_id: str
    status: Status
    provider: str
    model: str
    max_retries: int
    prompt_count: int
    completed_count: int
    failed_count: int
    tokens_used: int
    created_at: Rfc3339
    started_processing_at: Rfc3339 | None
    completed_at: Rfc3339 | None
    error: Problem | None


class File(BaseModel):
    """A file to download."""

    filename: str
    url: str
    expires_at: Rfc3339


class ResultsReply(BaseModel):
    """The answer to GET /v1/jobs/{job_id}/results."""

    job_id: str
    status: Status
    files: list[File]


async def status(app: App, client: str, job_id: str) -> StatusReply:
    """How the job stands now. Raises ApiError 404 as `_owned` says."""
    job = await _owned(app, client, job_id)
    if job.open and job.chunk_count is not None:  # its counts are still in its chunks
        sums = await app.ledger.progress(job.job_id)
        now = {
            "completed_count": sums["completed"],
            "failed_count": sums["failed"],
            "tokens_used": sums["tokens"],
        }
        job = job.model_copy(update=now)
    times = {name: rfc3339(getattr(job, name)) for name in ("created_at", "started_processing_at", "completed_at")}
    return StatusReply.model_validate(job.model_dump() | times)


async def results(app: App, client: str, job_id: str) -> ResultsReply:
    """Signed URLs of the job's files. Raises ApiError 404 as `_owned` says, 409 while there is nothing to download."""
    job = await _owned(app, client, job_id)
    if job.open:
        detail = f"The job is {job.status}; its results can be fetched when it has ended."
        raise ApiError(409, "not_finished", detail)
    if job.result_parts is None:
        raise ApiError(409, "no_results", f"The job is {job.status} and produced nothing to download.")
    expires_at = float(int(app.clock.now() + app.settings.download_url_seconds))

    async def file(filename: str) -> File:
        url = await app.results.download_url(f"{job.job_id}/{filename}", filename, expires_at)
        return File(filename=filename, url=url, expires_at=rfc3339(expires_at))

    files = await asyncio.gather(*map(file, finish.result_files(job.result_parts)))
    return ResultsReply(job_id=job.job_id, status=job.status, files=files)


async def _owned(app: App, client: str, job_id: str) -> Job:
    """The client's job. Raises ApiError 404, the same for a job that is unknown and for another client's."""
    job = await app.ledger.job(job_id) if is_job_id(job_id) else None
    if job is None or job.client != client:
        raise ApiError(404, "job_not_found", "There is no such job.")
    return job
