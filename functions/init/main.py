"""POST /v1/jobs/init: open a job and answer with the URL to upload its file to."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.create_job import CreateJobRequest, create_job
from promptforge.bootstrap import current
from promptforge.entrypoints import http


@functions_framework.http
@http.http_endpoint("POST")
async def init(request: Request, client: str) -> Response:
    order = await http.parse_body(request, CreateJobRequest)
    ticket = await create_job(current(), client, order, http.header(request, "Idempotency-Key"))
    return http.json_response(202, ticket)
