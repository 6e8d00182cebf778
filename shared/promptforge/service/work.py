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
    name = f"recheck-{message.job_id}-{chunk.number}-{chunk.epoch}"
    await app.tasks.enqueue("worker", message.encode(), name=name, not_before=chunk.due_at)


async def _work_on(app: App, job: Job, pinned: Input, claim: Claim) -> None:
    hold = Hold(app, job, claim)
    try:
        async with hold:
            await hold.answers.recover(claim.chunk.flushed)
            prompts = await _prompts(app, job, pinned, hold)
            await Asker(app, job, hold).ask_all(prompts)
            if len(hold.answers) == claim.chunk.line_count:
                await hold.settle()
            else:
                await hold.give_back()
    except LeaseLost:
        logs.warning("lease_lost", job_id=job.job_id, chunk=claim.chunk.number, epoch=claim.chunk.epoch)
        return
    except ObjectMissing:
        await finish.give_up(app, job.job_id, INPUT_CHANGED)
        return
    await finish.ask(app, job.job_id)


async def _prompts(app: App, job: Job, pinned: Input, hold: Hold) -> dict[int, Prompt]:
    """The chunk's unanswered prompts by line number; its bad lines become answers at once."""
    chunk, prompts = hold.chunk, {}
    number, splitter = chunk.first_line, LineSplitter(app.settings.max_line_bytes)

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
    async for block in app.uploads.read(name, generation=pinned.generation, start=chunk.start, end=chunk.end):
        take(splitter.feed(block))
    take(splitter.end())
    return prompts


def _judge(chunk: Chunk, number: int, line: bytes) -> Prompt | BadLine:
    judged = read_line(line)
    if isinstance(judged, Prompt) and (first := chunk.duplicates.get(number)):
        return duplicate(judged.prompt_id, number, first)
    return judged
