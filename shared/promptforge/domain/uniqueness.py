"""Remembers which line used a prompt_id first, in bounded memory: about 16 bytes an id once there are many.

Ids are remembered by Python's keyed 64-bit string hash. Two different ids of one file meet with a probability
of 3 in a million at ten million ids; a client that forces it hurts only its own file.
"""

from array import array
from bisect import bisect_left

SPILL_AT = 1 << 18
FILTER_BITS = 28  # 32 MiB, made only for files above SPILL_AT ids; about 4% false alarms at ten million ids


class SeenIds:
    """New ids go to a dict; a full dict becomes a sorted run. A bit filter keeps most lookups off the runs."""

    def __init__(self, spill_at: int = SPILL_AT) -> None:
        self._spill_at = spill_at
        self._recent: dict[int, int] = {}
        self._runs: list[tuple[array[int], array[int]]] = []
        self._filter = bytearray()

    def first_line(self, prompt_id: str, line: int) -> int:
        """The line that used this id first: `line` itself if it is new."""
        digest = hash(prompt_id)
        first = self._recent.setdefault(digest, line)
        if first == line and self._runs:
            first = self._in_runs(digest, line)
        if len(self._recent) >= self._spill_at:
            self._spill()
        return first

    def _in_runs(self, digest: int, line: int) -> int:
        slot = digest & ((1 << FILTER_BITS) - 1)
        if self._filter[slot >> 3] & (1 << (slot & 7)):
            for digests, lines in self._runs:
                at = bisect_left(digests, digest)
                if at < len(digests) and digests[at] == digest:
                    self._recent[digest] = lines[at]
                    return lines[at]
        return line

    def _spill(self) -> None:
        if not self._filter:
            self._filter = bytearray(1 << (FILTER_BITS - 3))
        mask = (1 << FILTER_BITS) - 1
        for digest in self._recent:
            slot = digest & mask
            self._filter[slot >> 3] |= 1 << (slot & 7)
        digests = array("q", sorted(self._recent))
        self._runs.append((digests, array("Q", map(self._recent.__getitem__, digests))))
        self._recent = {}
