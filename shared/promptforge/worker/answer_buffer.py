"""The answered lines of one chunk: buffered, written as segments, read in input order.

A segment holds one record a line, `LINE KIND TOKENS OUTPUT-TOKENS PUBLIC-JSON`: KIND is `+` for a result, `-` for an
error. Memory is bounded: beyond MAX_BUFFERED_BYTES, flushed lines are dropped and read back at the end.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from promptforge import logs
from promptforge.domain.chunk import ChunkCounts, Segment
from promptforge.domain.formats.lines import LineSplitter
from promptforge.errors import ObjectMissing
from promptforge.ports.objects import Objects

MAX_BUFFERED_BYTES = 16 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


@dataclass(slots=True)
class BufferedAnswer:
    """An answered line.

    `public` is None when it must be read from [start, end) of `segment`.
    """

    ok: bool
    tokens: int
    output_tokens: int
    public: bytes | None
    segment: str = ""
    start: int = 0
    end: int = 0


class AnswerBuffer:
    """The answers of a chunk by line number."""

    def __init__(self, work: Objects) -> None:
        self._work = work
        self._entries: dict[int, BufferedAnswer] = {}
        self._unflushed: list[int] = []
        self._buffered_bytes = 0
        self.unflushed_bytes = 0

    def __contains__(self, line: int) -> bool:
        return line in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def unflushed(self) -> int:
        """The number of answers that a crash would lose."""
        return len(self._unflushed)

    def reaches(self, flush_count: int, flush_bytes: int) -> bool:
        """Whether the unflushed answers reach one of the limits at which they are flushed."""
        return self.unflushed >= flush_count or self.unflushed_bytes >= flush_bytes

    @property
    def counts(self) -> ChunkCounts:
        """The counts of the answers, computed from the answers themselves."""
        entries = self._entries.values()
        completed = sum(entry.ok for entry in entries)
        return ChunkCounts(
            completed=completed,
            failed=len(entries) - completed,
            tokens=sum(entry.tokens for entry in entries),
            output_tokens=sum(entry.output_tokens for entry in entries),
        )

    def add(self, line: int, ok: bool, tokens: int, public: bytes, output_tokens: int = 0) -> None:
        """Add the one answer of a line.

        `output_tokens` are part of `tokens`. Raises ValueError for a second answer.
        """
        if line in self._entries:
            raise ValueError(f"line {line} has an answer already")
        self._entries[line] = BufferedAnswer(ok, tokens, output_tokens, public)
        self._unflushed.append(line)
        self.unflushed_bytes += len(public)
        self._buffered_bytes += len(public)

    def segment(self) -> tuple[list[int], bytes]:
        """Return the lines that are in no segment yet, and the content of their segment."""
        lines = list(self._unflushed)
        return lines, b"".join(self._record(line) for line in lines)

    def mark_flushed(self, segment: str, lines: list[int]) -> None:
        """Mark these lines, the oldest unflushed ones, as stored in the segment."""
        del self._unflushed[: len(lines)]
        start = 0
        for line in lines:
            entry, record = self._entries[line], self._record(line)
            public, end = len(entry.public or b""), start + len(record)
            entry.segment, entry.start, entry.end = segment, end - public, end
            self.unflushed_bytes -= public
            start = end
            self._drop_over_limit(entry)

    async def recover(self, segments: list[Segment]) -> None:
        """Read what earlier holders have flushed.

        A missing segment loses its answers, nothing else.
        """
        for segment in segments:
            start, splitter = 0, LineSplitter(segment.size)
            try:
                async for block in self._work.read(segment.name):
                    for record in splitter.feed(block):
                        self._restore(segment.name, start, record)
                        start += len(record) + 1
            except ObjectMissing:
                logs.error("segment_missing", segment=segment.name)

    async def in_order(self, ok: bool) -> AsyncIterator[bytes]:
        """Yield the public lines of one kind, ascending by line number, in blocks of many lines."""
        block: list[bytes] = []
        size = 0
        for line in sorted(self._entries):
            entry = self._entries[line]
            if entry.ok is not ok:
                continue
            public = entry.public if entry.public is not None else await self._read_back(entry)
            block.append(public)
            size += len(public)
            if size >= BLOCK_BYTES:
                yield b"".join(block)
                block, size = [], 0
        yield b"".join(block)

    async def _read_back(self, entry: BufferedAnswer) -> bytes:
        return b"".join([block async for block in self._work.read(entry.segment, start=entry.start, end=entry.end)])

    def _restore(self, segment: str, start: int, record: bytes) -> None:
        line, kind, tokens, output, public = record.split(b" ", 4)
        end = start + len(record) + 1
        entry = BufferedAnswer(
            kind == b"+", int(tokens), int(output), public + b"\n", segment, end - len(public) - 1, end
        )
        self._buffered_bytes += len(public) + 1
        self._drop_over_limit(entry)
        self._entries.setdefault(int(line), entry)

    def _record(self, line: int) -> bytes:
        entry = self._entries[line]
        kind = "+" if entry.ok else "-"
        return f"{line} {kind} {entry.tokens} {entry.output_tokens} ".encode() + (entry.public or b"")

    def _drop_over_limit(self, entry: BufferedAnswer) -> None:
        if self._buffered_bytes > MAX_BUFFERED_BYTES and entry.public is not None:
            self._buffered_bytes -= len(entry.public)
            entry.public = None
