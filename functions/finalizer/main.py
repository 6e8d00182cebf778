"""A job may be done: publish its results."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import JobCommand
from promptforge.service.finish import finalize


@functions_framework.http
@edge.event_endpoint(edge.decode_command(JobCommand))
async def finalizer(message: JobCommand) -> None:
    await finalize(current(), message.job_id)
