"""A job may be done: publish its results."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import FinalizeJob
from promptforge.entrypoints import http
from promptforge.pipeline.finalize import finalize


@functions_framework.http
@http.event_endpoint(http.decode_command(FinalizeJob))
async def finalizer(message: FinalizeJob) -> None:
    await finalize(current(), message.job_id)
