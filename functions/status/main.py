"""GET /v1/jobs/{job_id}/status: how a job stands."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge import edge
from promptforge.app import current
from promptforge.service import report


@functions_framework.http
@edge.http_endpoint("GET")
async def status(request: Request, client: str) -> Response:
    return edge.json_response(200, await report.job_status(current(), client, edge.job_id_from_path(request)))
