"""GET /v1/jobs/{job_id}/status: how a job stands."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api import job_status
from promptforge.bootstrap import current
from promptforge.entrypoints import http


@functions_framework.http
@http.http_endpoint("GET")
async def status(request: Request, client: str) -> Response:
    return http.json_response(200, await job_status.job_status(current(), client, http.job_id_from_path(request)))
