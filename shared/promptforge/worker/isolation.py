"""Isolation of poison prompts: after several crashes a chunk is processed one prompt at a time.

A crash leaves no trace but a lease that expired. Before each call the holder records the line and waits until no other
call is in flight in its process. So a crash during that call can only come from that prompt.
"""

from collections.abc import Mapping

from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import JobError
from promptforge.domain.timeouts import ISOLATION_BUSY_DELAY_SECONDS
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.realtime_lane import RealtimeLane

MAX_ISOLATED_CRASHES = 3
"""After this many crashes in a row during the call for one prompt, the prompt gets an error."""

WORKER_CRASH = JobError(code="worker_crash", message="The worker crashed each time it called this prompt.")


async def process_isolated(run: ChunkRun, prompts: Mapping[int, Prompt]) -> None:
    """Answer the prompts one at a time.

    The chunk is released while the process runs another isolated chunk.
    """
    context, lock = run.runtime.context, run.runtime.isolation_lock
    if lock.locked():
        run.stop.release_at(context.clock.now() + context.rng.uniform(*ISOLATION_BUSY_DELAY_SECONDS))
        return
    async with lock:
        await _fail_poison_prompt(run, prompts)
        for line, prompt in prompts.items():
            if run.stop.is_set:
                return
            if line not in run.output:
                await _answer_alone(run, line, prompt)


async def _fail_poison_prompt(run: ChunkRun, prompts: Mapping[int, Prompt]) -> None:
    line, crashes = run.lease.chunk.isolated_line, run.lease.chunk.isolated_crash_count
    if line is not None and line in prompts and crashes >= MAX_ISOLATED_CRASHES:
        run.output.fail_prompts(prompts, [line], WORKER_CRASH)
        await run.output.flush()


async def _answer_alone(run: ChunkRun, line: int, prompt: Prompt) -> None:
    """Call the provider for one prompt while no other call is in flight in the process."""
    async with run.runtime.call_slots.exclusive() as slot:
        await run.lease.update(lambda chunk: chunk.isolating(line, run.lease.next_end()))
        await RealtimeLane(run, slot).run({line: prompt})
        await run.output.flush()
