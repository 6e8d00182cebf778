"""POST /v1/jobs/init: create a job and return the URL for its upload."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.create_job import CreateJobRequest, create_job
from promptforge.bootstrap import current
from promptforge.entrypoints.http import http_endpoint
from promptforge.entrypoints.requests import header, parse_body
from promptforge.entrypoints.responses import json_response


@functions_framework.http
@http_endpoint("POST")
async def init(request: Request, client: str) -> Response:
    body = await parse_body(request, CreateJobRequest)
    return json_response(202, await create_job(current(), client, body, header(request, "Idempotency-Key")))
