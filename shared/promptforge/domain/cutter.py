"""Walks the lines of an input, a block at a time: which are bad, and where the chunks begin and end."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from promptforge.domain.chunk import Cut
from promptforge.domain.job import Input, Problem
from promptforge.domain.lines import BOM, GZIP
from promptforge.domain.prompt import good_ids, is_blank
from promptforge.domain.uniqueness import SeenIds


class Cutter:
    """Feed it lines; it answers the chunks that are complete and searched for repeated ids. The cuts depend on the
    pinned input alone.

    `lines` counts the non-blank lines so far, `invalid` the bad ones among them, `chunks` the chunks; `problem` says
    why the whole file is refused.
    """

    def __init__(self, pinned: Input, max_lines: int) -> None:
        self._pinned = pinned
        self._max_lines = max_lines
        self._seen = SeenIds()
        self._line = 0  # physical lines so far
        self._offset = 0  # bytes so far
        self._start, self._first_line = 0, 1  # where the open chunk begins
        self._count = 0  # its non-blank lines
        self._duplicates: dict[int, int] = {}  # found, and not yet given to a chunk
        self._closed: list[Cut] = []  # not yet searched for repeated ids
        self.lines = self.invalid = self.chunks = 0
        self.problem: Problem | None = None

    def open(self, head: bytes) -> bytes:
        """Look at the first block: skip a byte order mark, refuse a compressed file."""
        if head.startswith(GZIP):
            message = "The file is compressed with gzip; upload the plain JSONL text."
            self.problem = Problem(code="unsupported_encoding", message=message)
        if head.startswith(BOM):
            self._start = self._offset = len(BOM)
            return head[len(BOM) :]
        return head

    def feed(self, lines: list[bytes]) -> list[Cut]:
        """Take the next lines; the chunks that are ready."""
        if self.problem:
            return []
        blanks = self._judge(lines)
        at = 0
        while at < len(lines):
            until, full = self._boundary(lines, at)
            self._count += until - at - (bisect_left(blanks, until) - bisect_left(blanks, at))
            self._offset += _size(lines[at:until])
            self._line += until - at
            if full:
                self._close()
            at = until
        return self._release() if self._seen.full else []

    def end(self, lines: list[bytes]) -> list[Cut]:
        """Take the last lines; the chunks that are left."""
        ready = self.feed(lines)
        self._close()
        return [] if self.problem else ready + self._release()

    def _judge(self, lines: list[bytes]) -> list[int]:
        """Count the lines and remember their ids; the positions of the blank ones."""
        ids, bad = good_ids(lines)
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
            self.problem = Problem(code="limit_exceeded", message=message)
        return blanks

    def _boundary(self, lines: list[bytes], at: int) -> tuple[int, bool]:
        """The position in the block where the open chunk ends, or the block does, and whether the chunk ends there."""
        room = self._pinned.chunk_lines - (self._line - self._first_line + 1)
        rest = lines[at : at + room]
        space = self._pinned.chunk_bytes - (self._offset - self._start)
        if _size(rest) >= space:
            sizes = accumulate(len(line) + 1 for line in rest)
            return at + 1 + next(position for position, size in enumerate(sizes) if size >= space), True
        return at + len(rest), len(rest) == room

    def _close(self) -> None:
        """End the open chunk here. One of blank lines only is no chunk."""
        if self._count:
            cut = Cut(
                number=self.chunks,
                start=self._start,
                end=min(self._offset, self._pinned.size),
                first_line=self._first_line,
                last_line=self._line,
                line_count=self._count,
            )
            self._closed.append(cut)
            self.chunks += 1
        self._start, self._first_line, self._count = self._offset, self._line + 1, 0

    def _release(self) -> list[Cut]:
        """Give the repeated ids found to their chunks, and the chunks out."""
        taken = self._seen.settle()
        self.invalid += len(taken)
        self._duplicates.update(taken)
        ready, self._closed = self._closed, []
        if not self._duplicates:
            return ready
        lines = sorted(self._duplicates)
        return [cut.model_copy(update={"duplicates": self._taken_in(cut, lines)}) for cut in ready]

    def _taken_in(self, cut: Cut, lines: list[int]) -> dict[int, int]:
        ours = lines[bisect_left(lines, cut.first_line) : bisect_left(lines, cut.last_line + 1)]
        return {line: self._duplicates.pop(line) for line in ours}


def _size(lines: list[bytes]) -> int:
    """The bytes of lines with their ends."""
    return sum(map(len, lines)) + len(lines)
