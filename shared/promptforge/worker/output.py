"""The output of a chunk: answers collected, flushed into segments, and written as ordered parts at the end."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.chunk import ChunkPart, Segment
from promptforge.domain.formats.native import Metadata, Prompt, error_line, result_line
from promptforge.domain.job import Job, JobError
from promptforge.errors import LeaseLost, Unavailable
from promptforge.state.objects import chunk_part_object, segment_object
from promptforge.worker.answer_buffer import AnswerBuffer
from promptforge.worker.attempts import ChunkAttempts
from promptforge.worker.lease import ChunkLease


class ChunkOutput:
    """One answer for each line: a result or an error.

    Methods that write raise LeaseLost as the lease does.
    """

    def __init__(self, context: AppContext, job: Job, lease: ChunkLease, attempts: ChunkAttempts) -> None:
        self._context = context
        self._job = job
        self._lease = lease
        self._attempts = attempts
        self._answers = AnswerBuffer(context.work)
        self._flush_lock = asyncio.Lock()
        self._segment_count = 0

    def __contains__(self, line: int) -> bool:
        return line in self._answers

    @property
    def is_complete(self) -> bool:
        """Whether every line of the chunk has its answer."""
        return len(self._answers) >= self._lease.chunk.line_count

    async def recover(self) -> None:
        """Read the answers that earlier holders have flushed."""
        await self._answers.recover(self._lease.chunk.segments)

    def add_result(self, line: int, prompt: Prompt, fields: Mapping[str, Any]) -> None:
        """Add a line's result; `fields` are those of the result line but prompt_id and metadata."""
        public = result_line(prompt.prompt_id, fields, self._metadata(prompt))
        self._answers.add(line, True, fields["tokens_used"], public, fields["usage"]["output_tokens"])
        self._attempts.discard(line)

    def add_error(self, line: int, prompt: Prompt, code: str, message: str) -> None:
        """Add the error of a valid line."""
        self._add_error(line, prompt.prompt_id, code, message, self._metadata(prompt))

    def add_invalid(self, line: int, prompt_id: str | None, code: str, message: str) -> None:
        """Add the error of an invalid line."""
        self._add_error(line, prompt_id, code, message, None)

    def fail_prompts(self, prompts: Mapping[int, Prompt], lines: Iterable[int], error: JobError) -> None:
        """Add the error to those of the lines that have no answer."""
        for line in lines:
            if line not in self:
                self.add_error(line, prompts[line], error.code, error.message)

    def fail_unread(self, error: JobError) -> None:
        """Add the error to every remaining line of a chunk whose input cannot be read.

        The input tells which lines are blank, so the errors are given to the first lines without an answer.
        """
        chunk = self._lease.chunk
        left = [line for line in range(chunk.first_line, chunk.last_line + 1) if line not in self]
        for line in left[: chunk.line_count - len(self._answers)]:
            self._add_error(line, None, error.code, error.message, None)

    async def flush_if_full(self) -> None:
        """Flush when enough answers wait.

        A flush that fails is repeated by `flush_regularly`.
        """
        limits = self._context.settings.flush_count, self._context.settings.flush_bytes
        if not self._answers.reaches(*limits):
            return
        try:
            async with self._flush_lock:
                if self._answers.reaches(*limits):  # the flush that held the lock may have taken these answers
                    await self._flush()
        except Unavailable:
            logs.warning("flush_failed", job_id=self._job.job_id, chunk=self._lease.chunk.number)

    async def flush_regularly(self) -> None:
        """Flush every FLUSH_SECONDS, forever, and store costs that no flush has stored."""
        while True:
            await asyncio.sleep(self._context.settings.flush_seconds)
            try:
                await self.flush()
                if self._attempts.has_unstored_cost:
                    await self._lease.renew()
            except LeaseLost:
                raise
            except Exception as exc:
                logs.warning("flush_failed", job_id=self._job.job_id, error=type(exc).__name__)

    async def flush(self) -> None:
        """Write the answers so far into a segment.

        A segment counts once the chunk's document names it. A stale epoch cannot name it, and its object is deleted.
        """
        async with self._flush_lock:
            await self._flush()

    async def complete(self) -> None:
        """Write the ordered parts and complete the chunk.

        Parts of a stale epoch are deleted and never named.
        """
        counts = self._answers.counts
        results = await self._write_part("results", counts.completed)
        errors = await self._write_part("errors", counts.failed)
        try:
            await self._lease.update(lambda chunk: chunk.completed_with(results, errors, counts))
        except LeaseLost:
            for part in filter(None, (results, errors)):
                await self._context.results.delete(part.name)
            raise
        number = self._lease.chunk.number
        logs.info("chunk_completed", job_id=self._job.job_id, chunk=number, **counts._asdict())

    async def _flush(self) -> None:
        lines, content = self._answers.segment()
        if not lines:
            return
        counts = self._answers.counts
        chunk = self._lease.chunk
        name = segment_object(self._job.job_id, chunk.number, chunk.epoch, self._segment_count)
        self._segment_count += 1
        info = await self._context.work.create(name, content)
        segment = Segment(name=name, size=info.size)
        try:
            await self._lease.update(lambda chunk: chunk.checkpointed(segment, counts, self._lease.next_end()))
        except LeaseLost:
            await self._context.work.delete(name)
            raise
        self._answers.mark_flushed(name, lines)

    async def _write_part(self, kind: str, lines: int) -> ChunkPart | None:
        if lines == 0:
            return None
        chunk = self._lease.chunk
        name = chunk_part_object(self._job.job_id, chunk.number, chunk.epoch, kind)
        await self._context.results.create(name, self._answers.in_order(kind == "results"))
        return ChunkPart(name=name, lines=lines)

    def _add_error(self, line: int, prompt_id: str | None, code: str, message: str, metadata: Metadata) -> None:
        public = error_line(prompt_id, code, message, self._attempts.failed(line), line, metadata)
        self._answers.add(line, False, 0, public)
        self._attempts.discard(line)

    def _metadata(self, prompt: Prompt) -> Metadata:
        """The line's metadata, or the job's."""
        own = prompt.params.metadata if prompt.params else None
        return self._job.params.metadata if own is None else own
