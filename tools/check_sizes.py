"""Check sizes and signatures: rules of this repository that no linter offers.

- A file has at most 300 lines, a `functions/NAME/main.py` at most 30.
- A function has at most 40 lines.
- A class has at most 15 methods. Every `def` in its body counts, properties included; `__dunder__` methods do not.
- A function's main.py imports only the entry points and the use cases.
- No function of `shared/` takes `**changes: object`, and none of its core takes any untyped `**` parameter.
  Such a signature accepts a misspelt field, which is then written or lost.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import PurePath

from infra.package import imported

from tools.findings import Finding, run

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
CORE = {"api", "domain", "pipeline", "state", "worker"}
"""The packages of `shared/promptforge` that read and write documents."""

UNTYPED = ("Any", "object")

Def = ast.FunctionDef | ast.AsyncFunctionDef


def check_source(path: str, source: str) -> Iterator[Finding]:
    """Yield every broken rule of one Python file."""
    parts = PurePath(path).parts
    lines = source.count("\n")
    limit = MAX_MAIN_LINES if parts[0] == "functions" else MAX_FILE_LINES
    if lines > limit:
        yield Finding(path, 1, "file", f"{lines} lines, at most {limit}")
    tree = ast.parse(source)
    if parts[0] == "functions":
        yield from (Finding(path, 1, "import", f"{name} is not for functions") for name in _unexpected_imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, Def):
            yield from _check_function(path, node)
        elif isinstance(node, ast.ClassDef) and (count := _method_count(node)) > MAX_METHODS:
            yield Finding(path, node.lineno, "class", f"{node.name} has {count} methods, at most {MAX_METHODS}")


def _unexpected_imports(tree: ast.Module) -> Iterator[str]:
    return (name for name in imported(tree) if not f"{name}.".startswith(tuple(f"{known}." for known in FOR_FUNCTIONS)))


def _check_function(path: str, node: Def) -> Iterator[Finding]:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if length > MAX_FUNCTION_LINES:
        yield Finding(path, node.lineno, "function", f"{node.name} has {length} lines, at most {MAX_FUNCTION_LINES}")
    extra, parts = node.args.kwarg, PurePath(path).parts
    if extra and parts[0] == "shared" and _is_untyped(extra) and (extra.arg == "changes" or set(parts) & CORE):
        yield Finding(path, node.lineno, "untyped", f"{node.name} takes **{extra.arg}: name the fields")


def _is_untyped(parameter: ast.arg) -> bool:
    annotation = parameter.annotation
    return annotation is None or ast.unparse(annotation).rpartition(".")[2] in UNTYPED


def _method_count(node: ast.ClassDef) -> int:
    names = [child.name for child in node.body if isinstance(child, Def)]
    return sum(not (name.startswith("__") and name.endswith("__")) for name in names)


def main() -> int:
    """Check the files that the command line names, or every Python file."""
    return run(check_source, __doc__, globs=("*.py",))


if __name__ == "__main__":
    sys.exit(main())
