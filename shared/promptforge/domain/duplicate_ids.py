"""Find the lines whose prompt_id an earlier line has used, with about 12 bytes of memory per id.

The finder stores the 64-bit keyed string hash of Python instead of the id. In a file of ten million ids, two different
ids share a hash with a probability of 3 in a million. A client that forces a collision affects only its own file.
"""

from array import array
from collections.abc import Sequence

WINDOW = 1 << 18


class DuplicateIdFinder:
    """A finder that compares ids in windows.

    New ids gather in a window, which is a dict. `resolve` compares a full window with every earlier one and stores it
    as a pair of arrays. Both steps run at C speed, so the finder adds little to the time of a split.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._size = window
        self._window: dict[int, int] = {}  # digest → a line with that id
        self._added: list[tuple[list[int], Sequence[int]]] = []  # the ids of the window, to find the first line of each
        self._count = 0
        self._earlier: list[tuple[array[int], array[int]]] = []

    @property
    def full(self) -> bool:
        """Whether the window is full, so that `resolve` is due."""
        return self._count >= self._size

    def add(self, prompt_ids: Sequence[str], lines: Sequence[int]) -> None:
        """Add the next ids with their line numbers in ascending order."""
        digests = list(map(hash, prompt_ids))
        self._window.update(zip(digests, lines, strict=True))
        self._added.append((digests, lines))
        self._count += len(digests)

    def resolve(self) -> dict[int, int]:
        """Return the duplicate lines since the last call, each with the first line that has its id."""
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
        """Rebuild the window with the first line of each id; return the other lines with their first lines."""
        self._window, repeats = {}, []
        for digests, lines in self._added:
            for digest, line in zip(digests, lines, strict=True):
                first = self._window.setdefault(digest, line)
                if first != line:
                    repeats.append((line, first))
        return repeats
