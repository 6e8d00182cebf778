"""Check that docstrings, comments, messages and documents are plain technical English.

Rules:
- clause: no `who is`, `is to be`, `so many` or `have a thing done`: name the thing.
- person: code is no person: no `us`, `our` or `whoever`.
- start: no sentence starts with `What`, `Who` or `Have`.
- length: a sentence has at most 25 words. A code span or a URL counts as one word; tables and usage blocks are skipped.
- summary: the first line of a docstring is one sentence, ended by a period.

Messages to users, the strings of the product with three words or more, obey the first three rules. Nothing is exempt.
"""

import re
import sys
from collections.abc import Iterator

from tools.findings import Finding, run
from tools.prose_blocks import Block, Kind, prose_blocks
from tools.sentences import Sentence, sentences

MAX_WORDS = 25
CLAUSES = re.compile(
    r"\bwho (?:is|has|asks|reads|writes|comes)\b"
    r"|\b(?:is|are) to be\b"
    r"|\bso (?:many|much|long)\b"
    r"|\bhave (?:the|a|no|it|every) \w+ \w+ed\b",
    re.IGNORECASE,
)
PERSONS = re.compile(r"\b(?:[Uu]s|[Oo]urs?|[Oo]urselves|[Ww]hoever)\b")
STARTS = re.compile(r"(?:^|: )[\"'(*_\[]*(?:What|Who|Whoever|Have)\b")


def check_source(path: str, source: str) -> list[Finding]:
    """Return every broken rule of one file, in the order of its lines."""
    found = [finding for block in prose_blocks(path, source) for finding in _check_block(path, block)]
    return sorted(found, key=lambda finding: finding.line)


def _check_block(path: str, block: Block) -> Iterator[Finding]:
    if block.kind is Kind.DOCSTRING:
        yield from _check_summary(path, block)
    for sentence in sentences(block.lines):
        yield from _check_sentence(path, sentence, limited=block.kind is not Kind.MESSAGE and not sentence.in_table)


def _check_summary(path: str, block: Block) -> Iterator[Finding]:
    first = block.lines[0]
    if not first.text.rstrip().endswith(".") or len(list(sentences([first]))) != 1:
        yield Finding(path, first.number, "summary", first.text)


def _check_sentence(path: str, sentence: Sentence, limited: bool) -> Iterator[Finding]:
    if match := CLAUSES.search(sentence.masked):
        yield Finding(path, sentence.line, "clause", f"{match[0]!r} in {sentence.text}")
    if match := PERSONS.search(sentence.masked):
        yield Finding(path, sentence.line, "person", f"{match[0]!r} in {sentence.text}")
    if STARTS.search(sentence.masked):
        yield Finding(path, sentence.line, "start", sentence.text)
    if limited and sentence.word_count > MAX_WORDS:
        yield Finding(path, sentence.line, "length", f"{sentence.word_count} words in {sentence.text}")


def main() -> int:
    """Check the files that the command line names, or all."""
    return run(check_source, __doc__)


if __name__ == "__main__":
    sys.exit(main())
