"""POST /v1/jobs/init: open a job and answer with the URL to upload its file to."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge import edge
from promptforge.app import current
from promptforge.service.intake import CreateJobRequest, create_job


@functions_framework.http
@edge.http_endpoint("POST")
async def init(request: Request, client: str) -> Response:
    order = await edge.parse_body(request, CreateJobRequest)
    ticket = await create_job(current(), client, order, edge.header(request, "Idempotency-Key"))
    return edge.json_response(202, ticket)
