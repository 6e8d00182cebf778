"""Isolation of poison prompts: a chunk whose holders crashed is processed in small groups of prompts.

A crash leaves no trace but a lease that expired. Before each group the holder records its lines. After a crash the next
holder halves that group, down to one prompt. That prompt is called while no other call is in flight in the process. So
a further crash can only come from it. A chunk that other prompts made crash loses little: its groups pass at once.
"""

from collections.abc import Mapping, Sequence

from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import JobError
from promptforge.worker.admission import Slots
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.realtime_lane import RealtimeLane

GROUP_LINES = 64

MAX_ISOLATED_CRASHES = 3
"""After this many crashes in a row during the call for one prompt alone, the prompt gets an error."""

WORKER_CRASH = JobError(code="worker_crash", message="The worker crashed each time it called this prompt.")


async def process_isolated(run: ChunkRun, prompts: Mapping[int, Prompt]) -> None:
    """Answer the prompts in groups."""
    chunk = run.lease.chunk
    lines = sorted(line for line in prompts if line not in run.output)
    suspects: list[int] = []
    if chunk.isolated_lines:
        first, last = chunk.isolated_lines
        suspects = [line for line in lines if first <= line <= last]
        if len(suspects) == 1 and chunk.isolated_crash_count >= MAX_ISOLATED_CRASHES:
            run.output.fail_prompts(prompts, suspects, WORKER_CRASH)
            await run.output.flush()
    while left := [line for line in lines if line not in run.output]:
        suspects = [line for line in suspects if line not in run.output]
        group = suspects[: (len(suspects) + 1) // 2] or left[:GROUP_LINES]
        await _process_group(run, {line: prompts[line] for line in group}, group)
        if run.stop.is_set:
            return


async def _process_group(run: ChunkRun, prompts: Mapping[int, Prompt], group: Sequence[int]) -> None:
    """Answer one group.

    A single prompt is called while no other call is in flight in the process.
    """
    if len(group) > 1:
        await _call(run, prompts, group, run.runtime.call_slots)
        return
    async with run.runtime.isolation_lock, run.runtime.call_slots.exclusive() as slot:
        await _call(run, prompts, group, slot)


async def _call(run: ChunkRun, prompts: Mapping[int, Prompt], group: Sequence[int], slots: Slots) -> None:
    await run.lease.update(lambda chunk: chunk.isolating(group[0], group[-1], run.lease.next_end()))
    await RealtimeLane(run, slots).run(prompts)
    await run.output.flush()
