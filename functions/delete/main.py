"""DELETE /v1/jobs/{job_id}: erase a job and everything of it."""

import functions_framework.aio as functions_framework
from starlette.requests import Request
from starlette.responses import Response

from promptforge import edge
from promptforge.app import current
from promptforge.service.erase import delete_job


@functions_framework.http
@edge.http_endpoint("DELETE")
async def delete(request: Request, client: str) -> Response:
    await delete_job(current(), client, edge.job_id_from_path(request))
    return edge.no_content()
