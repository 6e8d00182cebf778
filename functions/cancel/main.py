"""POST /v1/jobs/{job_id}/cancel: have no further call made for a job."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.cancel_job import cancel_job
from promptforge.bootstrap import current
from promptforge.entrypoints import http


@functions_framework.http
@http.http_endpoint("POST")
async def cancel(request: Request, client: str) -> Response:
    return http.json_response(200, await cancel_job(current(), client, http.job_id_from_path(request)))
