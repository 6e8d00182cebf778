"""Reads the prompts of a chunk from the pinned input."""

from promptforge.domain.formats.json_schema import schema_error
from promptforge.domain.formats.lines import LineSplitter
from promptforge.domain.formats.native import InvalidLine, Prompt, duplicate_id_error, is_blank, parse_line
from promptforge.domain.formats.params import unsupported_parameter
from promptforge.domain.job import INPUT_CHANGED, PinnedInput
from promptforge.errors import ObjectMissing
from promptforge.state.objects import upload_object
from promptforge.worker.chunk_run import ChunkRun


async def read_prompts(run: ChunkRun, pinned: PinnedInput) -> dict[int, Prompt]:
    """Return the chunk's prompts without an answer, by line number; invalid lines get their errors at once.

    An input that no longer exists stops the job.
    """
    context, chunk, prompts = run.runtime.context, run.lease.chunk, dict[int, Prompt]()
    number, splitter = chunk.first_line, LineSplitter(pinned.max_line_bytes)

    def take(lines: list[bytes]) -> None:
        nonlocal number
        for line in lines:
            if not is_blank(line) and number not in run.output:
                parsed = _parse(run, number, line)
                if isinstance(parsed, Prompt):
                    prompts[number] = parsed
                else:
                    run.output.add_invalid(number, parsed.prompt_id, parsed.code, parsed.message)
            number += 1

    name = upload_object(run.job.job_id)
    try:
        async for block in context.uploads.read(name, generation=pinned.generation, start=chunk.start, end=chunk.end):
            take(splitter.feed(block))
        take(splitter.finish())
    except ObjectMissing:
        await run.stop.stop_job(INPUT_CHANGED)
        run.output.fail_unread(INPUT_CHANGED)
        return {}
    return prompts


def _parse(run: ChunkRun, number: int, line: bytes) -> Prompt | InvalidLine:
    parsed = parse_line(line)
    if isinstance(parsed, InvalidLine):
        return parsed
    if first := run.lease.chunk.duplicates.get(number):
        return duplicate_id_error(parsed.prompt_id, number, first)
    return _parameter_error(run, parsed) or parsed


def _parameter_error(run: ChunkRun, prompt: Prompt) -> InvalidLine | None:
    """Check what depends on the job's provider, on the JSON Schema validator and on the operator's prices."""
    job, params = run.job, prompt.params
    if params is None:
        return None
    if name := unsupported_parameter(job.provider, params):
        message = f"Parameter {name} is not supported by {job.provider}."
        return InvalidLine("unsupported_parameter", message, prompt.prompt_id)
    if error := schema_error(params.response_format):
        return InvalidLine("invalid_parameter", f"response_format.schema: {error}.", prompt.prompt_id)
    model = params.model or job.model
    price_of = run.runtime.context.settings.price_of
    if job.max_cost_nanos is not None and model != job.model and price_of(job.provider, model) is None:
        message = f"The job has a cost limit, and model {model} of this line has no configured price."
        return InvalidLine("price_unknown", message, prompt.prompt_id)
    return None
