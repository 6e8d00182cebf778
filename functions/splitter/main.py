"""Enqueue a split task for an upload, and split the job into chunks when the task arrives."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import JobCommand, JobUploaded
from promptforge.entrypoints.events import decode_upload, event_endpoint
from promptforge.pipeline.split import enqueue_split, split


@functions_framework.http
@event_endpoint(decode_upload)
async def splitter(command: JobCommand) -> None:
    step = enqueue_split if isinstance(command, JobUploaded) else split
    await step(current(), command.job_id)
