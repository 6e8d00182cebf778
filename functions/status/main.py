"""GET /v1/jobs/{job_id}/status: return a job's status and progress."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.job_status import job_status
from promptforge.bootstrap import current
from promptforge.entrypoints.http import http_endpoint
from promptforge.entrypoints.requests import job_id_from_path
from promptforge.entrypoints.responses import json_response


@functions_framework.http
@http_endpoint("GET")
async def status(request: Request, client: str) -> Response:
    return json_response(200, await job_status(current(), client, job_id_from_path(request)))
