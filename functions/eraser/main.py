"""A job was deleted or is forgotten: remove everything of it."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import JobMessage
from promptforge.service.erase import erase


@functions_framework.http
@edge.event(edge.message(JobMessage))
async def eraser(message: JobMessage) -> None:
    await erase(current(), message.job_id)
