"""DELETE /v1/jobs/{job_id}: erase a job and everything of it."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.bootstrap import current
from promptforge.entrypoints import http
from promptforge.pipeline.erase import delete_job


@functions_framework.http
@http.http_endpoint("DELETE")
async def delete(request: Request, client: str) -> Response:
    await delete_job(current(), client, http.job_id_from_path(request))
    return http.no_content()
