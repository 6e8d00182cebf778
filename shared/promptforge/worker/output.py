"""The answered lines of one chunk while it is worked on: kept safe in segments, given back in input order.

A segment holds one record a line, `LINE KIND TOKENS OUTPUT-TOKENS PUBLIC-JSON`: KIND is `+` for a result, `-` for an
error. What is in memory is bounded: beyond HELD_BYTES, lines that are safe in a segment are dropped and read back at
the end.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from promptforge import logs
from promptforge.domain.chunk import Segment
from promptforge.domain.formats.lines import LineSplitter
from promptforge.errors import ObjectMissing
from promptforge.ports.objects import Objects

MAX_BUFFERED_BYTES = 16 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


@dataclass(slots=True)
class BufferedAnswer:
    """An answered line. `public` is None when it must be read from [start, end) of `segment`."""

    ok: bool
    tokens: int
    output_tokens: int
    public: bytes | None
    segment: str = ""
    start: int = 0
    end: int = 0


class AnswerBuffer:
    """Every answered line of a chunk, by line number."""

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
        """How many answers would be lost with this process."""
        return len(self._unflushed)

    @property
    def counts(self) -> dict[str, int]:
        """`completed`, `failed`, `tokens` and `output_tokens`, counted from the answers themselves."""
        completed = sum(entry.ok for entry in self._entries.values())
        tokens = sum(entry.tokens for entry in self._entries.values())
        output = sum(entry.output_tokens for entry in self._entries.values())
        failed = len(self._entries) - completed
        return {"completed": completed, "failed": failed, "tokens": tokens, "output_tokens": output}

    def add(self, line: int, ok: bool, tokens: int, public: bytes, output_tokens: int = 0) -> None:
        """Keep the answer of a line; a line has one answer. `output_tokens` are part of `tokens`."""
        if line in self._entries:
            raise ValueError(f"line {line} is answered already")
        self._entries[line] = BufferedAnswer(ok, tokens, output_tokens, public)
        self._unflushed.append(line)
        self.unflushed_bytes += len(public)
        self._buffered_bytes += len(public)

    def segment(self) -> tuple[list[int], bytes]:
        """The lines that are in no segment yet, and the segment they make."""
        lines = list(self._unflushed)
        return lines, b"".join(self._record(line) for line in lines)

    def mark_flushed(self, segment: str, lines: list[int]) -> None:
        """The segment made of these lines, the oldest unflushed ones, is safe."""
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
        """Read what earlier holders of the chunk have flushed. A segment that is gone costs its answers, no more."""
        for segment in segments:
            start, splitter = 0, LineSplitter(segment.size)
            try:
                async for block in self._work.read(segment.name):
                    for record in splitter.feed(block):
                        self._recall(segment.name, start, record)
                        start += len(record) + 1
            except ObjectMissing:
                logs.error("segment_missing", segment=segment.name)

    async def in_order(self, ok: bool) -> AsyncIterator[bytes]:
        """The public lines of one kind, ascending by line number, in blocks of many."""
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

    def _recall(self, segment: str, start: int, record: bytes) -> None:
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
