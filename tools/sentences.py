"""Split text into sentences, each with the line it starts on."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

USAGE_INDENT = 4
COLUMNS = re.compile(r"\S {3,}\S")
BULLET = re.compile(r"(?:[-*+]|\d+[.)])\s+")
SECTION = re.compile(r"(?:Args|Attributes|Raises|Returns|Yields):$")
SECTION_ITEM = re.compile(r"\*{0,2}\w[\w.]*(?: \([^)]*\))?: ")
CODE_SPAN = re.compile(r"``.+?``|`[^`]+`|<!--.*?-->|<[^<>\s][^<>]*>")
SENTENCE_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bcf)[.!?][\"')\]*_]*\s+")
WORD = re.compile(r"\S*[^\W_]\S*")


class Line(NamedTuple):
    number: int
    text: str


class Sentence(NamedTuple):
    """A sentence as written and, for the rules, with its code spans masked by letters."""

    line: int
    text: str
    masked: str
    in_table: bool = False

    @property
    def word_count(self) -> int:
        """The number of words, where a code span is part of one word."""
        return len(WORD.findall(self.masked))


def sentences(lines: Iterable[Line]) -> Iterator[Sentence]:
    """Yield the sentences of a docstring, a comment or a Markdown file, except those in usage blocks."""
    for paragraph in paragraphs(lines):
        if paragraph[0].text.startswith("|"):
            yield from _table_cells(paragraph)
        else:
            yield from _sentences_of_paragraph(paragraph)


def paragraphs(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Group lines into paragraphs, list items, headings, tables and entries of a section such as `Raises:`."""
    paragraph: list[Line] = []
    for line, starts in _prose_lines(lines):
        if starts and paragraph:
            yield paragraph
            paragraph = []
        if line.text:
            paragraph.append(line)
    if paragraph:
        yield paragraph


def _prose_lines(lines: Iterable[Line]) -> Iterator[tuple[Line, bool]]:
    """Yield each line of prose, stripped, and whether a paragraph starts there; a skipped line becomes a blank one."""
    fenced = doctest = in_section = table = False
    after_blank = True
    in_usage = False
    for number, raw in lines:
        text = raw.strip()
        if text.startswith(("```", "~~~")):
            fenced = not fenced
            yield Line(number, ""), True
            continue
        doctest = bool(text) and (doctest or text.startswith(">>>"))
        indented = len(raw) - len(raw.lstrip()) >= USAGE_INDENT
        if text and not indented:
            in_section, in_usage = bool(SECTION.match(text)), False
        bullet = BULLET.match(text)
        in_usage = bool(text) and indented and not in_section and not bullet and (in_usage or after_blank)
        after_blank = not text
        if fenced or doctest or in_usage:
            yield Line(number, ""), True
            continue
        was_table, table = table, text.startswith("|")
        heading = text.startswith("#")
        starts = not text or heading or table != was_table or bool(bullet or COLUMNS.search(text))
        starts = starts or (in_section and (not indented or SECTION_ITEM.match(text) is not None))
        yield Line(number, text[bullet.end() :] if bullet else text.lstrip("#> ")), starts
        if heading or SECTION.match(text):
            yield Line(number, ""), True


def _table_cells(rows: list[Line]) -> Iterator[Sentence]:
    for number, text in rows:
        masked, begin = _masked(text), 0
        for cell in masked.split("|"):
            end = begin + len(cell)
            if WORD.search(cell):
                yield Sentence(number, text[begin:end].strip(), cell.strip(), in_table=True)
            begin = end + 1


def _sentences_of_paragraph(paragraph: list[Line]) -> Iterator[Sentence]:
    starts, length = [], 0
    for _, part in paragraph:
        starts.append(length)
        length += len(part) + 1
    text = " ".join(part for _, part in paragraph)
    masked, begin = _masked(text), 0
    for end in [*(match.end() for match in SENTENCE_END.finditer(masked)), len(text)]:
        if WORD.search(masked, begin, end):
            line = paragraph[bisect_right(starts, begin) - 1].number
            yield Sentence(line, text[begin:end].strip(), masked[begin:end].strip())
        begin = end


def _masked(text: str) -> str:
    """Replace each code span by as many letters, so that offsets stay and nothing in it counts as prose."""
    return CODE_SPAN.sub(lambda match: "x" * len(match[0]), text)
