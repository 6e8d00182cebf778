"""A file was uploaded: have it cut into chunks and announced, in a task of its own."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import JobCommand, JobUploaded
from promptforge.service.split import enqueue_split, split


@functions_framework.http
@edge.event_endpoint(edge.decode_upload)
async def splitter(message: JobCommand) -> None:
    take = enqueue_split if isinstance(message, JobUploaded) else split
    await take(current(), message.job_id)
