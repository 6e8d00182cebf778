"""The Markdown pages of the repository: their code blocks, headings and links."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- (?P<scope>not run|no block is run): (?P<reason>.+) -->\n\s*$")
WHOLE_PAGE_NOT_RUN = re.compile(r"^<!-- no block is run: (.+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+?)(?: \{ #(\S+) \})?$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced code block; `not_run` is the reason why a shell block is not run."""

    line: int
    language: str
    text: str
    not_run: str


@dataclass(frozen=True)
class Page:
    """A Markdown file; `name` is its path in the repository."""

    name: str
    text: str

    @property
    def blocks(self) -> list[Block]:
        """The code blocks in order."""
        whole = WHOLE_PAGE_NOT_RUN.search(self.text)
        found = []
        for match in FENCE.finditer(self.text):
            marker = NOT_RUN.search(self.text, 0, match.start())
            reason = marker["reason"] if marker else whole[1] if whole else ""
            lines = [line.removeprefix(match["indent"]) for line in match["text"].split("\n")]
            number = self.text.count("\n", 0, match.start()) + 1
            found.append(Block(number, match["language"], "\n".join(lines), reason))
        return found

    @property
    def prose(self) -> str:
        """The text without its code blocks."""
        return FENCE.sub("", self.text)

    @property
    def anchors(self) -> set[str]:
        """The fragments that a link may name."""
        return {match[3] or _slug(match[2]) for match in HEADING.finditer(self.prose)}

    @property
    def links(self) -> list[str]:
        """The targets of all links."""
        return LINK.findall(self.prose)


def _slug(heading: str) -> str:
    words = re.sub(r"[^\w\s-]", "", heading.lower())
    return re.sub(r"[\s]+", "-", words.strip())


def committed_pages() -> dict[str, Page]:
    """Return every Markdown file of the repository, without the generated ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return {name: Page(name, (ROOT / name).read_text(encoding="utf-8")) for name in names if (ROOT / name).is_file()}


def is_runnable(block: Block) -> bool:
    """Whether a test runs the block."""
    return block.language in ("sh", "console") and not block.not_run
