"""Markdown tables, code blocks and anchors."""

import json
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a pipe in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def block(language: str, text: str) -> str:
    """Return a code block."""
    return f"```{language}\n{text}\n```"


def json_block(value: object) -> str:
    """Return a value as a block of indented JSON."""
    return block("json", json.dumps(value, indent=2))


def code(text: object) -> str:
    """Return a code span."""
    return f"`{text}`"


def page(*parts: str) -> str:
    """Join the parts of a page, without those that are empty."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"
