"""Split a stream of bytes into physical lines, with at most one line limit of bytes in memory."""

BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"


class LongLine(bytes):
    """A line over the limit: it keeps its length, not its bytes."""

    size: int
    limit: int

    def __new__(cls, size: int, limit: int) -> "LongLine":
        line = super().__new__(cls)
        line.size, line.limit = size, limit
        return line

    def __len__(self) -> int:
        return self.size


class LineSplitter:
    """A splitter that takes blocks and returns lines without their line feed.

    Only a line feed ends a line, because JSON text may contain U+2028 and other separators.
    """

    def __init__(self, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0

    def feed(self, block: bytes) -> list[bytes]:
        """Return the lines that this block completes."""
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
        """Return the last line, if the stream does not end with a line feed."""
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
