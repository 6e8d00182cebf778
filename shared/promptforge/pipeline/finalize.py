"""Finalizes a job whose chunks are all completed: publishes its files and sets its final status."""

from collections.abc import Sequence

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.job import (
    ALL_PROMPTS_FAILED,
    NO_VALID_PROMPTS,
    RESULT_INCOMPLETE,
    Job,
    JobError,
    PinnedInput,
    Status,
)
from promptforge.domain.manifest import FileEntry
from promptforge.pipeline.publish import ChunkSummary, publish_files, write_manifest
from promptforge.state.objects import delete_intermediate_objects


async def finalize(context: AppContext, job_id: str) -> None:
    """Publish the job's results and set its final status.

    Run twice, also at once, it publishes the same bytes.
    """
    job = await context.jobs.get(job_id)
    if job is None:
        return
    if job.status is Status.PROCESSING and job.input and not await context.chunks.has_open(job_id):
        summary = await _sum_chunks(context, job, job.input)
        files = await publish_files(context, job, summary)
        await write_manifest(context, job, job.input, summary, files)
        await _finish(context, job, summary, _counts_match(job, summary, files))
    finished = await context.jobs.get(job_id)
    if finished and not finished.open:
        await delete_intermediate_objects(context.work, context.results, job_id)


async def _sum_chunks(context: AppContext, job: Job, pinned: PinnedInput) -> ChunkSummary:
    summary = ChunkSummary()
    async for chunk in context.chunks.list_all(job.job_id):
        summary.add(chunk, pinned.part_lines)
    return summary


def _counts_match(job: Job, summary: ChunkSummary, files: Sequence[FileEntry]) -> bool:
    """Whether every line of the input is in the files: counted there, named by the chunks, and found by the split."""
    claimed = [sum(part.lines for part in parts) for _, parts in summary.files]
    counted = [file.lines for file in files]
    return (
        counted == claimed
        and sum(counted[:-1]) == summary.totals.completed
        and counted[-1] == summary.totals.failed
        and sum(counted) == summary.lines == job.prompt_count
    )


async def _finish(context: AppContext, job: Job, summary: ChunkSummary, counts_match: bool) -> None:
    def decide(job: Job) -> Job | None:
        if job.status is not Status.PROCESSING:
            return None
        published = job.with_results(summary.totals, len(summary.results))
        return published.finished(_final_error(job, summary, counts_match), context.clock.now())

    finished = await context.jobs.update(job.job_id, decide)
    if finished:
        counts = {"completed": finished.completed_count, "failed": finished.failed_count}
        logs.info("job_finished", job_id=job.job_id, status=finished.status.value, **counts)


def _final_error(job: Job, summary: ChunkSummary, counts_match: bool) -> JobError | None:
    if not counts_match:
        return RESULT_INCOMPLETE
    if job.stop_reason:
        return job.stop_reason
    if summary.totals.completed:
        return None
    return NO_VALID_PROMPTS if job.invalid_count == job.prompt_count else ALL_PROMPTS_FAILED
