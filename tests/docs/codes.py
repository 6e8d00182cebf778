"""Every error code in the source of the product, found in the calls that create errors."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT

POSITIONS = {"CallFailure": 1, "InvalidLine": 0, "RequestError": 0, "ApiError": 1}
"""The position of the code among the arguments; `JobError` takes it by name."""


def error_codes() -> set[str]:
    """Return the codes of jobs, lines, waiting reasons and responses."""
    return {code for file in (ROOT / "shared").rglob("*.py") for code in _codes(file)}


def _codes(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            arguments = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            position = POSITIONS.get(node.func.id)
            if position is not None:
                arguments += node.args[position : position + 1]
            if position is not None or node.func.id == "JobError":
                yield from (
                    each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)
                )
