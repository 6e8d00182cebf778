"""Erase the documents and objects of a job that was deleted or has expired."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import EraseJob
from promptforge.entrypoints.events import decode_command, event_endpoint
from promptforge.pipeline.erase import erase


@functions_framework.http
@event_endpoint(decode_command(EraseJob))
async def eraser(command: EraseJob) -> None:
    await erase(current(), command.job_id)
