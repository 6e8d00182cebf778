"""House rules that no linter knows: sizes of files and functions, and what a function may import. For `make lint`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.package import imported

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_MAIN_LINES = 30
FOR_FUNCTIONS = (
    "functions_framework",
    "promptforge.bootstrap",
    "promptforge.domain.commands",
    "promptforge.entrypoints.http",
    "promptforge.service",
    "starlette",
)


def faults(path: Path) -> Iterator[str]:
    """What is wrong with one Python file."""
    text = path.read_text()
    lines = text.count("\n")
    limit = MAX_MAIN_LINES if path.parts[0] == "functions" else MAX_FILE_LINES
    if lines > limit:
        yield f"{path}: {lines} lines, at most {limit}"
    tree = ast.parse(text)
    if path.parts[0] == "functions":
        yield from (f"{path}: may not import {name}" for name in imported(tree) if not name.startswith(FOR_FUNCTIONS))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True)
    found = [fault for name in listed.stdout.split() if Path(name).exists() for fault in faults(Path(name))]
    print("\n".join(found) or "house rules kept")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
