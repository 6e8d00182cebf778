"""Check that the words which docs/glossary.md retired do not come back.

The column "not" of the glossary is the only list. A word in backticks is refused, everywhere: in names, prose,
strings and file names. A word without backticks has other meanings too, so only a reader can judge it.

- `gadget`: this word, also as a part of a name such as `my_gadget` or `GadgetStore`.
- `gadget*`: every word that starts so.
- `do* over`: these words in a row, also in a name, also over a line break.
- `GADGET_COUNT`, `OldGadget`: this whole name, also with the prefix of a setting, but not the same words in prose.

A word of the glossary's first column is always right, even where a refused word is a part of it.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from tools.findings import Finding, run

GLOSSARY = "docs/glossary.md"
WORD_GAP = r"[\s_#-]+"
CAMEL_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class RetiredWord:
    """A word in backticks of the column "not", and the word to use in its place."""

    word: str
    use: str

    @cached_property
    def parts(self) -> list[str]:
        """The expressions of the words in it."""
        return [re.escape(part).replace(r"\*", "[a-z]*") for part in re.split(r"[ _]", _normalized(self.word))]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression that finds it in a normalized text."""
        if "_" in _normalized(self.word):
            return re.compile(rf"(?:(?<![a-z0-9_])_*|promptforge_){'_'.join(self.parts)}(?![a-z0-9_])")
        return re.compile(rf"(?<![a-z]){WORD_GAP.join(self.parts)}(?![a-z])")


class Glossary:
    """The words of the glossary: those in use and those that are retired."""

    def __init__(self, current: Iterable[str], retired: Iterable[RetiredWord]) -> None:
        self.current = tuple(current)
        self.retired = tuple(retired)
        risky = [word for word in self.current if any(retired.pattern.search(word) for retired in self.retired)]
        self._right = re.compile(
            "|".join(f"{WORD_GAP.join(map(re.escape, word.split()))}[a-z]*" for word in risky) or "(?!)"
        )
        self._first_words = re.compile("|".join(retired.parts[0] for retired in self.retired) or "(?!)")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read every table whose last column is "not"."""
        current: list[str] = []
        retired: dict[str, str] = {}
        in_table = False
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            in_table = line.startswith("|") and (in_table or cells[-1] == "not")
            if in_table:
                words = re.sub(r"[*`]", "", cells[0])
                current += words.lower().split(", ")
                for word in re.findall(r"`([^`]+)`", cells[-1]):
                    retired[word] = f"{retired[word]} or {words}" if word in retired else words
        return cls(current, [RetiredWord(word, use) for word, use in retired.items()])

    def find(self, text: str) -> Iterator[tuple[int, RetiredWord]]:
        """Yield each retired word in the text, with the number of the line on which it starts."""
        text = _normalized(text)
        candidates = [word for word in set(re.findall("[a-z]+", text)) if self._first_words.fullmatch(word)]
        if not candidates:
            return
        right = [match.span() for match in self._right.finditer(text)]
        for retired in self.retired:
            if any(re.fullmatch(retired.parts[0], word) for word in candidates):
                for match in retired.pattern.finditer(text):
                    if not any(start <= match.start() and match.end() <= end for start, end in right):
                        yield text.count("\n", 0, match.start()) + 1, retired


def _normalized(text: str) -> str:
    """Return the text in lower case, with an underscore between the words of each CamelCase name."""
    return CAMEL_BOUNDARY.sub("_", text).lower()


def check_source(path: str, source: str, glossary: Glossary) -> list[Finding]:
    """Return every retired word in the name and the text of one file, in the order of its lines."""
    if path == GLOSSARY:  # it defines the words
        return []
    lines = source.split("\n")
    found = {
        Finding(path, 1, retired.word, f"use {retired.use!r} in the file name") for _, retired in glossary.find(path)
    }
    for line, retired in glossary.find(source):
        found.add(Finding(path, line, retired.word, f"use {retired.use!r} in {lines[line - 1].strip()}"))
    return sorted(found)


def main() -> int:
    """Check the files that the command line names, or all."""
    glossary = Glossary.parse(Path(GLOSSARY).read_text(encoding="utf-8"))
    return run(lambda path, source: check_source(path, source, glossary), __doc__)


if __name__ == "__main__":
    sys.exit(main())
