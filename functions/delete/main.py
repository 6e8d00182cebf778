"""DELETE /v1/jobs/{job_id}: delete a job, its input and its results."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.delete_job import delete_job
from promptforge.bootstrap import current
from promptforge.entrypoints.http import http_endpoint
from promptforge.entrypoints.requests import job_id_from_path
from promptforge.entrypoints.responses import no_content


@functions_framework.http
@http_endpoint("DELETE")
async def delete(request: Request, client: str) -> Response:
    await delete_job(current(), client, job_id_from_path(request))
    return no_content()
