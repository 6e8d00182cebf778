"""A chunk is waiting: answer its prompts."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import ProcessChunk
from promptforge.entrypoints import http
from promptforge.worker.process_chunk import process_chunk


@functions_framework.http
@http.event_endpoint(http.decode_command(ProcessChunk))
async def worker(message: ProcessChunk) -> None:
    await process_chunk(current(), message)
