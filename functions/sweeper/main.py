"""Requeue lost work and stop overdue jobs: of all jobs every minute, or of one job at its due time."""

import functions_framework.aio as functions_framework

from promptforge.bootstrap import current
from promptforge.domain.commands import SweepJobs
from promptforge.entrypoints.events import decode_command, event_endpoint
from promptforge.pipeline.sweep import sweep


@functions_framework.http
@event_endpoint(decode_command(SweepJobs))
async def sweeper(command: SweepJobs) -> None:
    await sweep(current(), command.job_id)
