"""The parts of one processing of a claimed chunk."""

import asyncio
from collections.abc import Awaitable

from promptforge.domain.job import Job
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.attempts import ChunkAttempts
from promptforge.worker.lease import ChunkLease
from promptforge.worker.output import ChunkOutput
from promptforge.worker.runtime import WorkerRuntime
from promptforge.worker.stop_signal import StopSignal


class ChunkRun:
    """One processing of a claimed chunk: its lease, its output, its attempts and its stop signal."""

    def __init__(self, runtime: WorkerRuntime, job: Job, claim: ClaimedChunk) -> None:
        context = runtime.context
        self.runtime = runtime
        self.job = job
        self.budget = runtime.cost_budget(job)
        self.attempts = ChunkAttempts(claim.chunk, self.budget)
        self.lease = ChunkLease(context, claim, self.attempts)
        self.output = ChunkOutput(context, job, self.lease, self.attempts, runtime.storage)
        self.stop = StopSignal(context, job, claim.chunk.number, self.budget.notify)

    async def beside_background_tasks(self, work: Awaitable[None]) -> None:
        """Run `work` while the lease is renewed, answers are flushed and stops are noticed.

        The first error of any of them cancels the others and is raised by itself, not in a group.
        """
        try:
            async with asyncio.TaskGroup() as group:
                loops = (
                    self.lease.heartbeat(),
                    self.output.flush_regularly(),
                    self.stop.watch_process(),
                    self.stop.poll_job(),
                )
                background = [group.create_task(loop) for loop in loops]
                await work
                for task in background:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise _first_error(errors) from None


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
