"""Processes one chunk: claim it, answer its prompts, and complete or release it."""

from promptforge import logs
from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import JobError, PinnedInput
from promptforge.errors import LeaseLost, PromptForgeError
from promptforge.pipeline.completion import finalize_if_done
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.isolation import WORKER_CRASH, process_isolated
from promptforge.worker.read_prompts import read_prompts
from promptforge.worker.realtime_lane import RealtimeLane
from promptforge.worker.runtime import WorkerRuntime
from promptforge.worker.stop_signal import Release

FAIL_PROMPTS_AFTER_ERRORS = 10
"""After this many unexpected errors in a chunk its prompts get an error."""

ABANDON_AFTER_ERRORS = 20
"""After this many unexpected errors the chunk is completed without reading its input."""

ABANDON_AFTER_CRASHES = 100
"""After this many crashes likewise. Many of them may come from prompts of other chunks."""

WORKER_FAULT = JobError(
    code="worker_fault", message=f"Internal error: processing failed {FAIL_PROMPTS_AFTER_ERRORS} times."
)


async def process_chunk(runtime: WorkerRuntime, command: ProcessChunk) -> None:
    """Process the chunk as far as this call can.

    Returns when the chunk is completed, released, or leased to another holder (a task then looks at it when that lease
    ends). Safe to call at any time, any number of times, in parallel.
    """
    context = runtime.context
    job = await context.jobs.get(command.job_id)
    if job is None or not job.open or job.input is None:
        return
    holder = f"{runtime.instance}.{context.new_id()}"
    claim = await context.chunks.claim(job.job_id, command.chunk, holder, context.settings.lease_seconds)
    match claim:
        case None:
            logs.warning("chunk_unknown", job_id=job.job_id, chunk=command.chunk)
        case Chunk(open=False):
            await finalize_if_done(context, job.job_id)
        case Chunk():
            await context.queues.schedule_chunk(job.job_id, claim)
        case ClaimedChunk():
            await _process_claimed(ChunkRun(runtime, job, claim), job.input)


async def _process_claimed(run: ChunkRun, pinned: PinnedInput) -> None:
    chunk = run.lease.chunk
    try:
        await run.beside_background_tasks(_process(run, pinned))
    except LeaseLost:
        logs.warning("lease_lost", job_id=run.job.job_id, chunk=chunk.number, epoch=chunk.epoch)
        return
    except BaseException as exc:
        await _release_after_error(run, exc)
        raise
    finally:
        run.attempts.close()
    await finalize_if_done(run.runtime.context, run.job.job_id)


async def _process(run: ChunkRun, pinned: PinnedInput) -> None:
    await _answer_all(run, pinned)
    await _record(run)


async def _answer_all(run: ChunkRun, pinned: PinnedInput) -> None:
    """Answer every line of the chunk, or as many as can be answered now."""
    if error := _abandon_reason(run.lease.chunk):
        run.output.fail_unread(error)
        return
    await run.output.recover()
    prompts = await read_prompts(run, pinned)
    if run.stop.job_error is None:
        await _call_provider(run, prompts)
    if run.stop.job_error:
        run.output.fail_prompts(prompts, prompts, run.stop.job_error)


def _abandon_reason(chunk: Chunk) -> JobError | None:
    """Return why the chunk must be completed without reading its input, if it must."""
    if chunk.error_count >= ABANDON_AFTER_ERRORS:
        return WORKER_FAULT
    return WORKER_CRASH if chunk.crash_count >= ABANDON_AFTER_CRASHES else None


async def _call_provider(run: ChunkRun, prompts: dict[int, Prompt]) -> None:
    chunk = run.lease.chunk
    if chunk.error_count >= FAIL_PROMPTS_AFTER_ERRORS:
        run.output.fail_prompts(prompts, prompts, WORKER_FAULT)
    elif chunk.isolated:
        await process_isolated(run, prompts)
    else:
        await RealtimeLane(run, run.runtime.call_slots).run(prompts)


async def _record(run: ChunkRun) -> None:
    """Complete the chunk, or release it with its answers flushed."""
    reason = run.stop.reason
    if not isinstance(reason, Release) or run.output.is_complete:
        await run.output.until_stored(run.output.complete)
        return
    await run.output.until_stored(run.output.flush)
    await run.output.until_stored(lambda: run.lease.release(reason.resume_at))
    context = run.runtime.context
    if reason.waiting_for and reason.resume_at > context.clock.now():
        await context.jobs.set_waiting(run.job.job_id, reason.waiting_for, reason.resume_at)


async def _release_after_error(run: ChunkRun, exc: BaseException) -> None:
    try:
        await run.output.flush()
        await run.lease.release_after_error(exc)
    except PromptForgeError as failed:
        logs.warning("release_failed", job_id=run.job.job_id, error=type(failed).__name__)
