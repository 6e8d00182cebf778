"""A file was uploaded: cut it into chunks and announce them."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import JobMessage
from promptforge.service.split import split


@functions_framework.http
@edge.event(edge.upload)
async def splitter(message: JobMessage) -> None:
    await split(current(), message.job_id)
