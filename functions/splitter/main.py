"""A file was uploaded: have it cut into chunks and announced, in a task of its own."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import JobMessage, UploadMessage
from promptforge.service.split import split, uploaded


@functions_framework.http
@edge.event(edge.upload)
async def splitter(message: JobMessage) -> None:
    take = uploaded if isinstance(message, UploadMessage) else split
    await take(current(), message.job_id)
