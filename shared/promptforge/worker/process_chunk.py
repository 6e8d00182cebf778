"""Works on one chunk: claims it, asks the provider for what is not answered yet, keeps the answers safe, settles it."""

from collections.abc import Iterable
from contextlib import nullcontext

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk, upload_object
from promptforge.domain.formats.json_schema import schema_error
from promptforge.domain.formats.lines import LineSplitter
from promptforge.domain.formats.native import InvalidLine, Prompt, duplicate_id_error, is_blank, parse_line
from promptforge.domain.formats.params import unsupported_parameter
from promptforge.domain.job import INPUT_CHANGED, Job, JobError, PinnedInput
from promptforge.errors import LeaseLost, ObjectMissing
from promptforge.pipeline import finalize
from promptforge.state.jobs import ClaimedChunk
from promptforge.worker.lease import ChunkLease, schedule_chunk
from promptforge.worker.realtime_lane import Asker

FAIL_PROMPTS_AFTER_ERRORS = 10  # unforeseen faults after which a chunk's prompts are given up
MAX_ISOLATED_CRASHES = 3  # holders dead in a row while they asked one prompt alone, after which that prompt is given up
ABANDON_AFTER_ERRORS = 20  # after so many not even giving up works: the chunk is closed without being read
ABANDON_AFTER_CRASHES = 100  # … many of which may have been of other chunks' prompts
ISOLATION_BUSY_DELAY_SECONDS = (5.0, 60.0)

WORKER_FAULT = JobError(
    code="worker_fault",
    message=f"Work on this prompt's chunk failed {FAIL_PROMPTS_AFTER_ERRORS} times with a fault of our own.",
)
WORKER_CRASH = JobError(code="worker_crash", message="The worker died each time it asked for this prompt.")


async def process_chunk(app: AppContext, message: ProcessChunk) -> None:
    """Bring the chunk as far as this call can. Returns when there is nothing more to do here: the chunk is settled,
    held by another (then looked at again when that lease ends), or given back. Safe to call at any time, any number
    of times, in parallel."""
    job = await app.ledger.get(message.job_id)
    if job is None or not job.open or job.input is None:
        return
    holder = f"{app.instance}.{app.new_id()}"
    claim = await app.ledger.claim(job.job_id, message.chunk, holder, app.settings.lease_seconds)
    match claim:
        case None:
            logs.warning("chunk_unknown", job_id=job.job_id, chunk=message.chunk)
        case Chunk(open=False):
            await finalize.finalize_if_done(app, job.job_id)
        case Chunk():
            await schedule_chunk(app, job.job_id, claim)
        case ClaimedChunk():
            await _work_on(app, job, job.input, claim)


async def _work_on(app: AppContext, job: Job, pinned: PinnedInput, claim: ClaimedChunk) -> None:
    hold = ChunkLease(app, job, claim)
    try:
        async with hold:
            if problem := _surrender(claim.chunk):
                hold.unreadable(problem)
            else:
                await hold.answers.recover(claim.chunk.segments)
                await _answer(app, job, hold, await _prompts(app, job, pinned, hold))
            if hold.lost:
                raise LeaseLost(job.job_id)
            if hold.ending.is_set() and len(hold.answers) < claim.chunk.line_count:
                await hold.give_back()
            else:
                await hold.settle()
    except LeaseLost:
        logs.warning("lease_lost", job_id=job.job_id, chunk=claim.chunk.number, epoch=claim.chunk.epoch)
        return
    await finalize.finalize_if_done(app, job.job_id)


def _surrender(chunk: Chunk) -> JobError | None:
    """Why the chunk must be closed without looking at what it holds, if it must."""
    if chunk.error_count >= ABANDON_AFTER_ERRORS:
        return WORKER_FAULT
    return WORKER_CRASH if chunk.crash_count >= ABANDON_AFTER_CRASHES else None


async def _answer(app: AppContext, job: Job, hold: ChunkLease, prompts: dict[int, Prompt]) -> None:
    """Ask for all at once; or, where work on the chunk keeps going wrong, as its faults and deaths advise."""
    chunk = hold.chunk
    if chunk.error_count >= FAIL_PROMPTS_AFTER_ERRORS:
        _give_up(hold, prompts, list(prompts), WORKER_FAULT)
    elif not chunk.isolated or hold.stop:
        await Asker(app, job, hold, app.call_slots.slot).ask_all(prompts)
    elif app.isolation_lock.locked():
        hold.end(resume_at=app.clock.now() + app.rng.uniform(*ISOLATION_BUSY_DELAY_SECONDS))
    else:
        async with app.isolation_lock:
            await _one_by_one(app, job, hold, prompts)


async def _one_by_one(app: AppContext, job: Job, hold: ChunkLease, prompts: dict[int, Prompt]) -> None:
    """A prompt that kills whoever asks for it is found out: each is asked while nothing else is under way in the
    process, and that it is asked is written down before. Nobody takes the blame for another's prompt."""
    suspect, deaths = hold.chunk.isolated_line, hold.chunk.isolated_crash_count
    if suspect in prompts and deaths >= MAX_ISOLATED_CRASHES:
        _give_up(hold, prompts, [suspect], WORKER_CRASH)
        await hold.flush()
    asker = Asker(app, job, hold, nullcontext)
    for line, prompt in prompts.items():
        if hold.ending.is_set():
            return
        if line not in hold.answers:
            async with app.call_slots.exclusive():
                await hold.go_alone(line)
                await asker.ask_all({line: prompt})
                await hold.flush()


def _give_up(hold: ChunkLease, prompts: dict[int, Prompt], lines: Iterable[int], problem: JobError) -> None:
    """Answer some prompts with what is wrong with them or with us, so that the job ends."""
    for line in lines:
        hold.fail(line, prompts[line].prompt_id, problem.code, problem.message, hold.failures.get(line, 0))


async def _prompts(app: AppContext, job: Job, pinned: PinnedInput, hold: ChunkLease) -> dict[int, Prompt]:
    """The chunk's unanswered prompts by line number; its bad lines become answers at once. If the input is gone, the
    whole job is stopped."""
    chunk, prompts = hold.chunk, dict[int, Prompt]()
    number, splitter = chunk.first_line, LineSplitter(pinned.max_line_bytes)

    def take(lines: list[bytes]) -> None:
        nonlocal number
        for line in lines:
            if not is_blank(line) and number not in hold.answers:
                judged = _judge(app, job, chunk, number, line)
                if isinstance(judged, Prompt):
                    prompts[number] = judged
                else:
                    hold.fail(number, judged.prompt_id, judged.code, judged.message, attempts=0)
            number += 1

    name = upload_object(job.job_id)
    try:
        async for block in app.uploads.read(name, generation=pinned.generation, start=chunk.start, end=chunk.end):
            take(splitter.feed(block))
        take(splitter.finish())
    except ObjectMissing:
        await app.ledger.stop_job(job.job_id, INPUT_CHANGED)
        hold.unreadable(INPUT_CHANGED)
        return {}
    return prompts


def _judge(app: AppContext, job: Job, chunk: Chunk, number: int, line: bytes) -> Prompt | InvalidLine:
    judged = parse_line(line)
    if isinstance(judged, InvalidLine):
        return judged
    if first := chunk.duplicates.get(number):
        return duplicate_id_error(judged.prompt_id, number, first)
    return _parameter_fault(app, job, judged) or judged


def _parameter_fault(app: AppContext, job: Job, prompt: Prompt) -> InvalidLine | None:
    """What only the job's provider, a validator of schemas, or the operator's prices can find wrong with a line's
    parameters."""
    if prompt.params is None:
        return None
    if name := unsupported_parameter(job.provider, prompt.params):
        message = f"{job.provider} has no parameter {name}: leave it out."
        return InvalidLine("unsupported_parameter", message, prompt.prompt_id)
    if fault := schema_error(prompt.params.response_format):
        return InvalidLine("invalid_parameter", f"response_format.schema: {fault}.", prompt.prompt_id)
    model = prompt.params.model or job.model
    if job.max_cost_nanos is not None and model != job.model and app.settings.price_of(job.provider, model) is None:
        message = "The operator has set no price for the line's own model, and the job may cost only so much."
        return InvalidLine("price_unknown", message, prompt.prompt_id)
    return None
