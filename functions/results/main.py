"""GET /v1/jobs/{job_id}/results: return the signed URLs of a job's files."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.job_results import job_results
from promptforge.bootstrap import current
from promptforge.entrypoints.http import http_endpoint
from promptforge.entrypoints.requests import job_id_from_path
from promptforge.entrypoints.responses import json_response


@functions_framework.http
@http_endpoint("GET")
async def results(request: Request, client: str) -> Response:
    return json_response(200, await job_results(current(), client, job_id_from_path(request)))
