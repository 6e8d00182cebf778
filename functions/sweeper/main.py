"""Every minute, or for one job at its time: find what was forgotten and put it back on its way."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import SweepJobs
from promptforge.entrypoints import http
from promptforge.pipeline.sweep import sweep


@functions_framework.http
@http.event_endpoint(http.decode_command(SweepJobs))
async def sweeper(message: SweepJobs) -> None:
    await sweep(current(), message.job_id)
