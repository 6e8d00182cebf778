"""Process one chunk: call the provider for its prompts."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current_worker
from promptforge.domain.commands import ProcessChunk
from promptforge.entrypoints.events import decode_command, event_endpoint
from promptforge.worker.process_chunk import process_chunk


@functions_framework.http
@event_endpoint(decode_command(ProcessChunk))
async def worker(command: ProcessChunk) -> None:
    await process_chunk(current_worker(), command)
