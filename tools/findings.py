"""The command line that the checks share: which files to read, and how to print what is found."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.sources import GLOBS, find_sources

SHOWN_CHARACTERS = 160


class Finding(NamedTuple):
    """A broken rule, printed as `path:line: rule: text`."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        text = self.text if len(self.text) <= SHOWN_CHARACTERS else self.text[:SHOWN_CHARACTERS] + "…"
        return f"{self.path}:{self.line}: {self.rule}: {text}"


def run(
    check: Callable[[str, str], Iterable[Finding]],
    description: str | None,
    globs: Sequence[str] = GLOBS,
    arguments: Sequence[str] | None = None,
) -> int:
    """Check the files that the command line names, or all, and print the findings.

    Returns the exit code: 1 if anything is found, else 0.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="files and folders to check; everything by default")
    parser.add_argument("--count", action="store_true", help="print only the number of findings by rule and folder")
    options = parser.parse_args(arguments)
    paths = find_sources(Path(), options.paths, globs)
    found = [finding for path in paths for finding in check(path, Path(path).read_text(encoding="utf-8"))]
    if options.count:
        counts = Counter((finding.rule, finding.path.split("/")[0]) for finding in found)
        print("\n".join(f"{count:5} {rule} in {folder}" for (rule, folder), count in sorted(counts.items())))
    elif found:
        print("\n".join(map(str, found)))
    else:
        print(f"no findings in {len(paths)} files")
    return bool(found)
