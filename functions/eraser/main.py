"""A job was deleted or is forgotten: remove everything of it."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import JobCommand
from promptforge.entrypoints import http
from promptforge.pipeline.erase import erase


@functions_framework.http
@http.event_endpoint(http.decode_command(JobCommand))
async def eraser(message: JobCommand) -> None:
    await erase(current(), message.job_id)
