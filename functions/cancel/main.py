"""POST /v1/jobs/{job_id}/cancel: stop all further calls of a job."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.cancel_job import cancel_job
from promptforge.bootstrap import current
from promptforge.entrypoints.http import http_endpoint
from promptforge.entrypoints.requests import job_id_from_path
from promptforge.entrypoints.responses import json_response


@functions_framework.http
@http_endpoint("POST")
async def cancel(request: Request, client: str) -> Response:
    return json_response(200, await cancel_job(current(), client, job_id_from_path(request)))
