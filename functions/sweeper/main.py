"""Every minute, or for one job at its time: find what was forgotten and put it back on its way."""

import functions_framework.aio as functions_framework

from promptforge import edge
from promptforge.app import current
from promptforge.domain.messages import SweepJobs
from promptforge.service.sweep import sweep


@functions_framework.http
@edge.event_endpoint(edge.decode_command(SweepJobs))
async def sweeper(message: SweepJobs) -> None:
    await sweep(current(), message.job_id)
