"""POST /v1/jobs/{job_id}/cancel: have no further call made for a job."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge import edge
from promptforge.app import current
from promptforge.service.cancel import cancel_job


@functions_framework.http
@edge.http_endpoint("POST")
async def cancel(request: Request, client: str) -> Response:
    return edge.json_response(200, await cancel_job(current(), client, edge.job_id_from_path(request)))
