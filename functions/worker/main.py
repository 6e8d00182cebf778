"""A chunk is waiting: answer its prompts."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import ChunkMessage
from promptforge.service.work import work


@functions_framework.http
@edge.event(edge.message(ChunkMessage))
async def worker(message: ChunkMessage) -> None:
    await work(current(), message)
