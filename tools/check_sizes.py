"""Check sizes and signatures: rules of this repository that no linter offers.

- A file has at most 300 lines, a `functions/NAME/main.py` at most 30.
- A function has at most 40 lines.
- A class has at most 15 methods. Every `def` in its body counts, properties included; `__dunder__` methods do not.
- A function's main.py imports only the entry points and the use cases.
- No function of `shared/` takes `**changes: object`, and none of its core takes any untyped `**` parameter.
  Such a signature accepts a misspelt field, which is then written or lost.
"""

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from infra.package import imported

from tools.sources import find_sources

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_MAIN_LINES = 30
MAX_METHODS = 15
FOR_FUNCTIONS = (
    "functions_framework",
    "promptforge.api",
    "promptforge.bootstrap",
    "promptforge.domain.commands",
    "promptforge.entrypoints",
    "promptforge.pipeline",
    "promptforge.worker",
    "starlette",
)
CORE = ("api", "domain", "pipeline", "state", "worker")
"""The packages of `shared/promptforge` that read and write documents."""

UNTYPED = ("Any", "object")

Def = ast.FunctionDef | ast.AsyncFunctionDef


def check_source(path: str, source: str) -> Iterator[str]:
    """Yield `path:line: fault` for each broken rule of one Python file."""
    parts = PurePath(path).parts
    lines = source.count("\n")
    limit = MAX_MAIN_LINES if parts[0] == "functions" else MAX_FILE_LINES
    if lines > limit:
        yield f"{path}:1: {lines} lines, at most {limit}"
    tree = ast.parse(source)
    if parts[0] == "functions":
        yield from (f"{path}:1: may not import {name}" for name in imported(tree) if not name.startswith(FOR_FUNCTIONS))
    for node in ast.walk(tree):
        if isinstance(node, Def):
            yield from (f"{path}:{node.lineno}: {node.name} {fault}" for fault in _function_faults(node, parts))
        elif isinstance(node, ast.ClassDef) and (count := _method_count(node)) > MAX_METHODS:
            yield f"{path}:{node.lineno}: {node.name} has {count} methods, at most {MAX_METHODS}"


def _function_faults(node: Def, parts: tuple[str, ...]) -> Iterator[str]:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if length > MAX_FUNCTION_LINES:
        yield f"has {length} lines, at most {MAX_FUNCTION_LINES}"
    extra = node.args.kwarg
    if extra and parts[0] == "shared" and _is_untyped(extra) and (extra.arg == "changes" or parts[2] in CORE):
        yield f"takes an untyped **{extra.arg}: name the fields"


def _is_untyped(parameter: ast.arg) -> bool:
    annotation = parameter.annotation
    return annotation is None or ast.unparse(annotation).rpartition(".")[2] in UNTYPED


def _method_count(node: ast.ClassDef) -> int:
    names = [child.name for child in node.body if isinstance(child, Def)]
    return sum(not (name.startswith("__") and name.endswith("__")) for name in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the given paths, or every Python file, and print what is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="files and folders to check; everything by default")
    options = parser.parse_args(arguments)
    paths = find_sources(Path(), options.paths, globs=("*.py",))
    found = [fault for path in paths for fault in check_source(path, Path(path).read_text())]
    print("\n".join(found) or "sizes: no findings")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
