"""Enqueue a split task for an upload, and split the job into chunks when the task arrives."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import JobCommand, JobUploaded
from promptforge.entrypoints.events import decode_upload, event_endpoint
from promptforge.pipeline.split import split


@functions_framework.http
@event_endpoint(decode_upload)
async def splitter(command: JobCommand) -> None:
    if isinstance(command, JobUploaded):
        # Eventarc sends an event again to another splitter after 10 seconds. A task may take as long as the file needs.
        await current().queues.enqueue_split(command.job_id)
    else:
        await split(current(), command.job_id)
