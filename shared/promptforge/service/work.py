"""Works on one chunk: claims it, asks the provider for what is not answered yet, keeps the answers safe, settles it."""

from collections.abc import Iterable
from contextlib import nullcontext

from promptforge import logs
from promptforge.domain.chunk import Chunk
from promptforge.domain.job import INPUT_CHANGED, Input, Job, Problem
from promptforge.domain.lines import LineSplitter
from promptforge.domain.messages import ChunkMessage, upload_object
from promptforge.domain.params import unsupported
from promptforge.domain.prompt import BadLine, Prompt, duplicate, is_blank, read_line
from promptforge.errors import LeaseLost, ObjectMissing
from promptforge.service import finish
from promptforge.service.app import App
from promptforge.service.ask import Asker
from promptforge.service.hold import Hold, look_again
from promptforge.service.ledger import Claim
from promptforge.service.schema import schema_fault

MAX_FAULTS = 10  # unforeseen faults after which a chunk's prompts are given up
BLAMED_DEATHS = 3  # holders dead in a row while they asked one prompt alone, after which that prompt is given up
SURRENDER_FAULTS = 20  # after so many not even giving up works: the chunk is closed without being read
SURRENDER_DEATHS = 100  # … many of which may have been of other chunks' prompts
STEP_ASIDE_SECONDS = (5.0, 60.0)

WORKER_FAULT = Problem(
    code="worker_fault", message=f"Work on this prompt's chunk failed {MAX_FAULTS} times with a fault of our own."
)
WORKER_CRASH = Problem(code="worker_crash", message="The worker died each time it asked for this prompt.")


async def work(app: App, message: ChunkMessage) -> None:
    """Bring the chunk as far as this call can. Returns when there is nothing more to do here: the chunk is settled,
    held by another (then looked at again when that lease ends), or given back. Safe to call at any time, any number
    of times, in parallel."""
    job = await app.ledger.job(message.job_id)
    if job is None or not job.open or job.input is None:
        return
    holder = f"{app.instance}.{app.new_id()}"
    claim = await app.ledger.claim(job.job_id, message.chunk, holder, app.settings.lease_seconds)
    match claim:
        case None:
            logs.warning("chunk_unknown", job_id=job.job_id, chunk=message.chunk)
        case Chunk(open=False):
            await finish.ask(app, job.job_id)
        case Chunk():
            await look_again(app, job.job_id, claim)
        case Claim():
            await _work_on(app, job, job.input, claim)


async def _work_on(app: App, job: Job, pinned: Input, claim: Claim) -> None:
    hold = Hold(app, job, claim)
    try:
        async with hold:
            if problem := _surrender(claim.chunk):
                hold.unreadable(problem)
            else:
                await hold.answers.recover(claim.chunk.flushed)
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
    await finish.ask(app, job.job_id)


def _surrender(chunk: Chunk) -> Problem | None:
    """Why the chunk must be closed without looking at what it holds, if it must."""
    if chunk.faults >= SURRENDER_FAULTS:
        return WORKER_FAULT
    return WORKER_CRASH if chunk.deaths >= SURRENDER_DEATHS else None


async def _answer(app: App, job: Job, hold: Hold, prompts: dict[int, Prompt]) -> None:
    """Ask for all at once; or, where work on the chunk keeps going wrong, as its faults and deaths advise."""
    chunk = hold.chunk
    if chunk.faults >= MAX_FAULTS:
        _give_up(hold, prompts, list(prompts), WORKER_FAULT)
    elif not chunk.careful or hold.stop:
        await Asker(app, job, hold, app.room.shared).ask_all(prompts)
    elif app.careful.locked():
        hold.end(resume_at=app.clock.now() + app.rng.uniform(*STEP_ASIDE_SECONDS))
    else:
        async with app.careful:
            await _one_by_one(app, job, hold, prompts)


async def _one_by_one(app: App, job: Job, hold: Hold, prompts: dict[int, Prompt]) -> None:
    """A prompt that kills whoever asks for it is found out: each is asked while nothing else is under way in the
    process, and that it is asked is written down before. Nobody takes the blame for another's prompt."""
    suspect, deaths = hold.chunk.alone, hold.chunk.alone_deaths
    if suspect in prompts and deaths >= BLAMED_DEATHS:
        _give_up(hold, prompts, [suspect], WORKER_CRASH)
        await hold.flush()
    asker = Asker(app, job, hold, nullcontext)
    for line, prompt in prompts.items():
        if hold.ending.is_set():
            return
        if line not in hold.answers:
            async with app.room.alone():
                await hold.go_alone(line)
                await asker.ask_all({line: prompt})
                await hold.flush()


def _give_up(hold: Hold, prompts: dict[int, Prompt], lines: Iterable[int], problem: Problem) -> None:
    """Answer some prompts with what is wrong with them or with us, so that the job ends."""
    for line in lines:
        hold.fail(line, prompts[line].prompt_id, problem.code, problem.message, hold.failures.get(line, 0))


async def _prompts(app: App, job: Job, pinned: Input, hold: Hold) -> dict[int, Prompt]:
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
        take(splitter.end())
    except ObjectMissing:
        await app.ledger.stop_job(job.job_id, INPUT_CHANGED)
        hold.unreadable(INPUT_CHANGED)
        return {}
    return prompts


def _judge(app: App, job: Job, chunk: Chunk, number: int, line: bytes) -> Prompt | BadLine:
    judged = read_line(line)
    if isinstance(judged, BadLine):
        return judged
    if first := chunk.duplicates.get(number):
        return duplicate(judged.prompt_id, number, first)
    return _parameter_fault(app, job, judged) or judged


def _parameter_fault(app: App, job: Job, prompt: Prompt) -> BadLine | None:
    """What only the job's provider, a validator of schemas, or the operator's prices can find wrong with a line's
    parameters."""
    if prompt.params is None:
        return None
    if name := unsupported(job.provider, prompt.params):
        message = f"{job.provider} has no parameter {name}: leave it out."
        return BadLine("unsupported_parameter", message, prompt.prompt_id)
    if fault := schema_fault(prompt.params.response_format):
        return BadLine("invalid_parameter", f"response_format.schema: {fault}.", prompt.prompt_id)
    model = prompt.params.model or job.model
    if job.max_cost_nanos is not None and model != job.model and app.settings.price_of(job.provider, model) is None:
        message = "The operator has set no price for the line's own model, and the job may cost only so much."
        return BadLine("price_unknown", message, prompt.prompt_id)
    return None
