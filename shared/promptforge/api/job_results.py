"""The result files of a job, as signed URLs."""

import asyncio

from pydantic import BaseModel

from promptforge.api.auth import get_owned_job
from promptforge.context import AppContext
from promptforge.domain.job import Status
from promptforge.domain.manifest import MANIFEST_FILE, result_files
from promptforge.domain.timestamps import Rfc3339, rfc3339
from promptforge.errors import RequestError
from promptforge.state.objects import result_object


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


async def job_results(context: AppContext, client: str, job_id: str) -> JobResultsResponse:
    """Return signed URLs of the job's files.

    Raises RequestError as `get_owned_job`, `not_finished` and `no_results` while there is nothing to download.
    """
    job = await get_owned_job(context, client, job_id)
    if job.open:
        raise RequestError("not_finished", f"The job is {job.status}; results are available when it has finished.")
    if job.result_parts is None:
        raise RequestError("no_results", f"The job is {job.status} and has no results.")
    expires_at = float(int(context.clock.now() + context.settings.download_url_seconds))

    async def sign(filename: str) -> ResultFile:
        url = await context.results.download_url(result_object(job.job_id, filename), filename, expires_at)
        return ResultFile(filename=filename, url=url, expires_at=rfc3339(expires_at))

    filenames = result_files(job.result_parts)
    *files, manifest = await asyncio.gather(*map(sign, [*filenames, MANIFEST_FILE]))
    return JobResultsResponse(job_id=job.job_id, status=job.status, files=files, manifest=manifest)
