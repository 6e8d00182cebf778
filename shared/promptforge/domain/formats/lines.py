"""Cuts a stream of bytes into physical lines, holding no more than one line's limit at a time."""

BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"


class LongLine(bytes):
    """A line over the limit: only its length is known, its bytes are gone."""

    size: int
    limit: int

    def __new__(cls, size: int, limit: int) -> "LongLine":
        line = super().__new__(cls)
        line.size, line.limit = size, limit
        return line

    def __len__(self) -> int:
        return self.size


class LineSplitter:
    """Feed it blocks, get lines without their b"\n". Nothing else ends a line: JSON text may hold U+2028."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0

    def feed(self, block: bytes) -> list[bytes]:
        """The lines that this block completes."""
        lines = block.split(b"\n")
        if len(lines) == 1:
            self._append(block)
            return []
        lines[0] = self._complete(lines[0])
        self._append(lines.pop())
        if len(block) > self._max:
            lines = [LongLine(len(line), self._max) if len(line) > self._max else line for line in lines]
        return lines

    def finish(self) -> list[bytes]:
        """The last line, if the stream did not end with b"\\n"."""
        return [self._complete(b"")] if self._tail_bytes else []

    def _append(self, rest: bytes) -> None:
        self._tail_bytes += len(rest)
        if self._tail_bytes > self._max:
            self._tail.clear()
        elif rest:
            self._tail.append(rest)

    def _complete(self, rest: bytes) -> bytes:
        self._append(rest)
        line = b"".join(self._tail) if self._tail_bytes <= self._max else LongLine(self._tail_bytes, self._max)
        self._tail, self._tail_bytes = [], 0
        return line
