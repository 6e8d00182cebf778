"""Walks the lines of an input, a block at a time: which are bad, and where the chunks begin and end."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from promptforge.domain.chunk import ChunkRange
from promptforge.domain.duplicate_ids import DuplicateIdFinder
from promptforge.domain.formats.lines import BOM, GZIP
from promptforge.domain.formats.native import is_blank, valid_prompt_ids
from promptforge.domain.job import JobError, PinnedInput


class Chunker:
    """Feed it lines; it answers the chunks that are complete and searched for repeated ids. The cuts depend on the
    pinned input alone.

    `lines` counts the non-blank lines so far, `invalid` the bad ones among them, `chunks` the chunks; `problem` says
    why the whole file is refused.
    """

    def __init__(self, pinned: PinnedInput, max_lines: int) -> None:
        self._pinned = pinned
        self._max_lines = max_lines
        self._seen = DuplicateIdFinder()
        self._line = 0  # physical lines so far
        self._offset = 0  # bytes so far
        self._start, self._first_line = 0, 1  # where the open chunk begins
        self._count = 0  # its non-blank lines
        self._duplicates: dict[int, int] = {}  # found, and not yet given to a chunk
        self._ready: list[ChunkRange] = []  # not yet searched for repeated ids
        self.lines = self.invalid = self.chunks = 0
        self.error: JobError | None = None

    def read_head(self, head: bytes) -> bytes:
        """Look at the first block: skip a byte order mark, refuse a compressed file."""
        if head.startswith(GZIP):
            message = "The file is compressed with gzip; upload the plain JSONL text."
            self.error = JobError(code="unsupported_encoding", message=message)
        if head.startswith(BOM):
            self._start = self._offset = len(BOM)
            return head[len(BOM) :]
        return head

    def feed(self, lines: list[bytes]) -> list[ChunkRange]:
        """Take the next lines; the chunks that are ready."""
        if self.error:
            return []
        blanks = self._validate(lines)
        at = 0
        while at < len(lines):
            until, full = self._find_boundary(lines, at)
            self._count += until - at - (bisect_left(blanks, until) - bisect_left(blanks, at))
            self._offset += _size(lines[at:until])
            self._line += until - at
            if full:
                self._close_chunk()
            at = until
        return self._take_ready() if self._seen.full else []

    def finish(self, lines: list[bytes]) -> list[ChunkRange]:
        """Take the last lines; the chunks that are left."""
        ready = self.feed(lines)
        self._close_chunk()
        return [] if self.error else ready + self._take_ready()

    def _validate(self, lines: list[bytes]) -> list[int]:
        """Count the lines and remember their ids; the positions of the blank ones."""
        ids, bad = valid_prompt_ids(lines)
        numbers: Sequence[int] = range(self._line + 1, self._line + len(lines) + 1)
        if bad:
            not_good = set(bad)
            numbers = [number for position, number in enumerate(numbers) if position not in not_good]
        self._seen.add(ids, numbers)
        blanks = [position for position in bad if is_blank(lines[position])]
        self.lines += len(lines) - len(blanks)
        self.invalid += len(bad) - len(blanks)
        if self._line + len(lines) > self._max_lines:
            message = f"The file has more than {self._max_lines} lines; split it into several jobs."
            self.error = JobError(code="limit_exceeded", message=message)
        return blanks

    def _find_boundary(self, lines: list[bytes], at: int) -> tuple[int, bool]:
        """The position in the block where the open chunk ends, or the block does, and whether the chunk ends there."""
        room = self._pinned.chunk_lines - (self._line - self._first_line + 1)
        rest = lines[at : at + room]
        space = self._pinned.chunk_bytes - (self._offset - self._start)
        if _size(rest) >= space:
            sizes = accumulate(len(line) + 1 for line in rest)
            return at + 1 + next(position for position, size in enumerate(sizes) if size >= space), True
        return at + len(rest), len(rest) == room

    def _close_chunk(self) -> None:
        """End the open chunk here. One of blank lines only is no chunk."""
        if self._count:
            cut = ChunkRange(
                number=self.chunks,
                start=self._start,
                end=min(self._offset, self._pinned.size),
                first_line=self._first_line,
                last_line=self._line,
                line_count=self._count,
            )
            self._ready.append(cut)
            self.chunks += 1
        self._start, self._first_line, self._count = self._offset, self._line + 1, 0

    def _take_ready(self) -> list[ChunkRange]:
        """Give the repeated ids found to their chunks, and the chunks out."""
        taken = self._seen.resolve()
        self.invalid += len(taken)
        self._duplicates.update(taken)
        ready, self._ready = self._ready, []
        if not self._duplicates:
            return ready
        lines = sorted(self._duplicates)
        return [cut.model_copy(update={"duplicates": self._duplicates_in(cut, lines)}) for cut in ready]

    def _duplicates_in(self, cut: ChunkRange, lines: list[int]) -> dict[int, int]:
        ours = lines[bisect_left(lines, cut.first_line) : bisect_left(lines, cut.last_line + 1)]
        return {line: self._duplicates.pop(line) for line in ours}


def _size(lines: list[bytes]) -> int:
    """The bytes of lines with their ends."""
    return sum(map(len, lines)) + len(lines)
