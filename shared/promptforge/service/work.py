"""Works on one chunk: claims it, asks the provider for what is not answered yet, keeps the answers safe, settles it."""

from promptforge import logs
from promptforge.domain.chunk import Chunk
from promptforge.domain.job import INPUT_CHANGED, Input, Job
from promptforge.domain.lines import LineSplitter
from promptforge.domain.messages import ChunkMessage, upload_object
from promptforge.domain.prompt import BadLine, Prompt, duplicate, is_blank, read_line
from promptforge.errors import LeaseLost, ObjectMissing
from promptforge.service import finish
from promptforge.service.app import App
from promptforge.service.ask import Asker
from promptforge.service.hold import Hold
from promptforge.service.ledger import Claim

MAX_FAULTS = 10


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
            await _look_again(app, message, claim)
        case Claim():
            await _work_on(app, job, job.input, claim)


async def _look_again(app: App, message: ChunkMessage, chunk: Chunk) -> None:
    name = f"recheck-{message.job_id}-{chunk.number}-{chunk.due_at:.0f}"
    await app.tasks.enqueue("worker", message.encode(), name=name, not_before=chunk.due_at)


async def _work_on(app: App, job: Job, pinned: Input, claim: Claim) -> None:
    hold = Hold(app, job, claim)
    try:
        async with hold:
            await hold.answers.recover(claim.chunk.flushed)
            prompts = await _prompts(app, job, pinned, hold)
            if claim.chunk.faults >= MAX_FAULTS:
                _give_up(hold, prompts)
            else:
                await Asker(app, job, hold).ask_all(prompts)
            if hold.ending.is_set() and len(hold.answers) < claim.chunk.line_count:
                await hold.give_back()
            else:
                await hold.settle()
    except LeaseLost:
        logs.warning("lease_lost", job_id=job.job_id, chunk=claim.chunk.number, epoch=claim.chunk.epoch)
        return
    await finish.ask(app, job.job_id)


def _give_up(hold: Hold, prompts: dict[int, Prompt]) -> None:
    """Work on this chunk ends in the same fault each time: answer its prompts with that, so that the job ends."""
    message = f"Work on this prompt's chunk failed {MAX_FAULTS} times with a fault of our own."
    for line, prompt in prompts.items():
        hold.fail(line, prompt.prompt_id, "worker_fault", message, hold.failures.get(line, 0))


async def _prompts(app: App, job: Job, pinned: Input, hold: Hold) -> dict[int, Prompt]:
    """The chunk's unanswered prompts by line number; its bad lines become answers at once. If the input is gone, the
    whole job is stopped."""
    chunk, prompts = hold.chunk, dict[int, Prompt]()
    number, splitter = chunk.first_line, LineSplitter(pinned.max_line_bytes)

    def take(lines: list[bytes]) -> None:
        nonlocal number
        for line in lines:
            if not is_blank(line) and number not in hold.answers:
                judged = _judge(chunk, number, line)
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


def _judge(chunk: Chunk, number: int, line: bytes) -> Prompt | BadLine:
    judged = read_line(line)
    if isinstance(judged, Prompt) and (first := chunk.duplicates.get(number)):
        return duplicate(judged.prompt_id, number, first)
    return judged
