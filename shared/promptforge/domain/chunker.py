"""Validate the lines of an input block by block, and divide them into chunk ranges."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from promptforge.domain.chunk import ChunkRange
from promptforge.domain.duplicate_ids import DuplicateIdFinder
from promptforge.domain.formats.lines import BOM, GZIP
from promptforge.domain.formats.native import is_blank, valid_prompt_ids
from promptforge.domain.job import JobError, PinnedInput


class Chunker:
    """A splitter that takes lines and returns chunk ranges, once their lines are checked for duplicate ids.

    The ranges depend only on the pinned input. `lines` counts the non-blank lines so far, `invalid` the invalid lines
    among them, and `chunks` the ranges. `error` is the reason to reject the whole file, if any.
    """

    def __init__(self, pinned: PinnedInput, max_lines: int) -> None:
        self._pinned = pinned
        self._max_lines = max_lines
        self._finder = DuplicateIdFinder()
        self._line = 0  # physical lines so far
        self._offset = 0  # bytes so far
        self._start, self._first_line = 0, 1  # of the current chunk
        self._count = 0  # non-blank lines of the current chunk
        self._duplicates: dict[int, int] = {}  # found, but not yet assigned to a chunk
        self._ready: list[ChunkRange] = []  # not yet checked for duplicate ids
        self.lines = self.invalid = self.chunks = 0
        self.error: JobError | None = None

    def read_head(self, head: bytes) -> bytes:
        """Skip a byte order mark in the first block, and reject a compressed file."""
        if head.startswith(GZIP):
            message = "The file is compressed with gzip; upload the plain JSONL text."
            self.error = JobError(code="unsupported_encoding", message=message)
        if head.startswith(BOM):
            self._start = self._offset = len(BOM)
            return head[len(BOM) :]
        return head

    def feed(self, lines: list[bytes]) -> list[ChunkRange]:
        """Take the next lines and return the chunks that are ready."""
        if self.error:
            return []
        blanks = self._validate(lines)
        start = 0
        while start < len(lines):
            end, full = self._find_boundary(lines, start)
            self._count += end - start - (bisect_left(blanks, end) - bisect_left(blanks, start))
            self._offset += _size(lines[start:end])
            self._line += end - start
            if full:
                self._close_chunk()
            start = end
        return self._take_ready() if self._finder.full else []

    def finish(self, lines: list[bytes]) -> list[ChunkRange]:
        """Take the last lines and return the remaining chunks."""
        ready = self.feed(lines)
        self._close_chunk()
        return [] if self.error else ready + self._take_ready()

    def _validate(self, lines: list[bytes]) -> list[int]:
        """Count the lines, add their ids to the finder, and return the positions of the blank lines."""
        ids, others = valid_prompt_ids(lines)
        numbers: Sequence[int] = range(self._line + 1, self._line + len(lines) + 1)
        if others:
            skipped = set(others)
            numbers = [number for position, number in enumerate(numbers) if position not in skipped]
        self._finder.add(ids, numbers)
        blanks = [position for position in others if is_blank(lines[position])]
        self.lines += len(lines) - len(blanks)
        self.invalid += len(others) - len(blanks)
        if self._line + len(lines) > self._max_lines:
            message = f"The file has more than {self._max_lines} lines; split it into several jobs."
            self.error = JobError(code="limit_exceeded", message=message)
        return blanks

    def _find_boundary(self, lines: list[bytes], start: int) -> tuple[int, bool]:
        """Return the position where the current chunk or the block ends, and whether the chunk ends there."""
        lines_left = self._pinned.chunk_lines - (self._line - self._first_line + 1)
        bytes_left = self._pinned.chunk_bytes - (self._offset - self._start)
        candidates = lines[start : start + lines_left]
        if _size(candidates) >= bytes_left:
            sizes = accumulate(len(line) + 1 for line in candidates)
            return start + 1 + next(position for position, size in enumerate(sizes) if size >= bytes_left), True
        return start + len(candidates), len(candidates) == lines_left

    def _close_chunk(self) -> None:
        """End the current chunk here, unless it has blank lines only."""
        if self._count:
            chunk = ChunkRange(
                number=self.chunks,
                start=self._start,
                end=min(self._offset, self._pinned.size),
                first_line=self._first_line,
                last_line=self._line,
                line_count=self._count,
            )
            self._ready.append(chunk)
            self.chunks += 1
        self._start, self._first_line, self._count = self._offset, self._line + 1, 0

    def _take_ready(self) -> list[ChunkRange]:
        """Assign the duplicate lines to their chunks, and return the chunks."""
        duplicates = self._finder.resolve()
        self.invalid += len(duplicates)
        self._duplicates.update(duplicates)
        ready, self._ready = self._ready, []
        if not self._duplicates:
            return ready
        lines = sorted(self._duplicates)
        return [chunk.model_copy(update={"duplicates": self._duplicates_in(chunk, lines)}) for chunk in ready]

    def _duplicates_in(self, chunk: ChunkRange, lines: list[int]) -> dict[int, int]:
        first, last = bisect_left(lines, chunk.first_line), bisect_left(lines, chunk.last_line + 1)
        return {line: self._duplicates.pop(line) for line in lines[first:last]}


def _size(lines: list[bytes]) -> int:
    """Return the size of the lines in bytes, with their line feeds."""
    return sum(map(len, lines)) + len(lines)
