"""A file was uploaded: have it cut into chunks and announced, in a task of its own."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import JobCommand, JobUploaded
from promptforge.entrypoints import http
from promptforge.pipeline.split import enqueue_split, split


@functions_framework.http
@http.event_endpoint(http.decode_upload)
async def splitter(message: JobCommand) -> None:
    take = enqueue_split if isinstance(message, JobUploaded) else split
    await take(current(), message.job_id)
