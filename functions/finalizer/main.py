"""A job may be done: publish its results."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import JobCommand
from promptforge.entrypoints import http
from promptforge.pipeline.finalize import finalize


@functions_framework.http
@http.event_endpoint(http.decode_command(JobCommand))
async def finalizer(message: JobCommand) -> None:
    await finalize(current(), message.job_id)
