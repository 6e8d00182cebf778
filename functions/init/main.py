"""POST /v1/jobs/init: open a job and answer with the URL to upload its file to."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge import edge
from promptforge.app import current
from promptforge.service.intake import Order, open_job


@functions_framework.http
@edge.api("POST")
async def init(request: Request, client: str) -> Response:
    order = await edge.parse(request, Order)
    ticket = await open_job(current(), client, order, edge.header(request, "Idempotency-Key"))
    return edge.reply(202, ticket)
