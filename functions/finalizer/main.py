"""A job may be done: publish its results."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import JobMessage
from promptforge.service.finish import finish


@functions_framework.http
@edge.event(edge.message(JobMessage))
async def finalizer(message: JobMessage) -> None:
    await finish(current(), message.job_id)
