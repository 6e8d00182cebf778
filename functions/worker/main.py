"""A chunk is waiting: answer its prompts."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import ProcessChunk
from promptforge.service.work import process_chunk


@functions_framework.http
@edge.event_endpoint(edge.decode_command(ProcessChunk))
async def worker(message: ProcessChunk) -> None:
    await process_chunk(current(), message)
