"""Publish the results of a job if all its chunks are complete."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import FinalizeJob
from promptforge.entrypoints.events import decode_command, event_endpoint
from promptforge.pipeline.finalize import finalize


@functions_framework.http
@event_endpoint(decode_command(FinalizeJob))
async def finalizer(command: FinalizeJob) -> None:
    await finalize(current(), command.job_id)
