"""A job was deleted or is forgotten: remove everything of it."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import JobCommand
from promptforge.service.erase import erase


@functions_framework.http
@edge.event_endpoint(edge.decode_command(JobCommand))
async def eraser(message: JobCommand) -> None:
    await erase(current(), message.job_id)
