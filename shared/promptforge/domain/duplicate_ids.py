"""Finds the lines whose prompt_id an earlier line has used, in bounded memory: 12 bytes an id once there are many.

Ids are remembered by Python's keyed 64-bit string hash. Two different ids of one file meet with a probability
of 3 in a million at ten million ids; a client that forces it hurts only its own file.
"""

from array import array
from collections.abc import Sequence

WINDOW = 1 << 18


class DuplicateIdFinder:
    """Ids gather in a window, a dict; a full window is compared with every earlier one, all at C speed, and becomes
    a pair of arrays. So a verdict comes late, with `settle`, and costs next to nothing."""

    def __init__(self, window: int = WINDOW) -> None:
        self._size = window
        self._window: dict[int, int] = {}  # digest → a line that has it
        self._added: list[tuple[list[int], Sequence[int]]] = []  # what made the window, to find out who was first
        self._count = 0
        self._earlier: list[tuple[array[int], array[int]]] = []

    @property
    def full(self) -> bool:
        """Whether it is time to `settle`."""
        return self._count >= self._size

    def add(self, prompt_ids: Sequence[str], lines: Sequence[int]) -> None:
        """Take the next ids and the lines they stand on, ascending."""
        digests = list(map(hash, prompt_ids))
        self._window.update(zip(digests, lines, strict=True))
        self._added.append((digests, lines))
        self._count += len(digests)

    def resolve(self) -> dict[int, int]:
        """The lines, of those added since the last call, whose id was taken before, each with the line that took it."""
        repeats = self._find_repeats() if len(self._window) < self._count else []
        moved: dict[int, int] = {}
        for digests, lines in self._earlier:
            if not self._window.keys().isdisjoint(digests):
                for digest, line in zip(digests, lines, strict=True):
                    if digest in self._window:
                        moved[self._window.pop(digest)] = line
        self._earlier.append((array("q", self._window), array("I", self._window.values())))
        self._window, self._added, self._count = {}, [], 0
        return moved | {line: moved.get(first, first) for line, first in repeats}

    def _find_repeats(self) -> list[tuple[int, int]]:
        """The window holds an id twice: put the first line of each in it; the other lines, each with its first."""
        self._window, repeats = {}, []
        for digests, lines in self._added:
            for digest, line in zip(digests, lines, strict=True):
                first = self._window.setdefault(digest, line)
                if first != line:
                    repeats.append((line, first))
        return repeats
