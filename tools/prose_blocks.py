"""Find the prose in a file: docstrings, comments, messages to users, descriptions."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath

from tools.sentences import Line

DIRECTIVE = re.compile(r"(?:!|-\*-|noqa\b|type: ?ignore|pragma:|fmt:|ruff:|mypy:|shellcheck |yamllint |nosec\b)")
CHECKOV_SKIP = re.compile(r"checkov:skip=\w+:?\s*")
DESCRIPTION = re.compile(r'\s*(?:description|error_message)\s*=\s*"(.*)"\s*$')
MIN_MESSAGE_WORDS = 3
PRODUCT = ("shared", "functions")


class Kind(Enum):
    """Where a block of prose stands, which decides the rules that apply."""

    DOCSTRING = "docstring"
    TEXT = "text"
    MESSAGE = "message"


@dataclass(frozen=True)
class Block:
    """Consecutive lines of prose, without comment marks and without the indentation of the code."""

    kind: Kind
    lines: tuple[Line, ...]


def prose_blocks(path: str, source: str) -> Iterator[Block]:
    """Yield every block of prose of a file, by the file's type."""
    suffix = PurePath(path).suffix
    if suffix == ".py":
        yield from _python_strings(ast.parse(source), messages=PurePath(path).parts[0] in PRODUCT)
        yield from _comment_blocks(_python_comments(source))
    elif suffix == ".md":
        yield Block(Kind.TEXT, _lines(source, 1))
    else:
        mark = "--" if suffix == ".sql" else "#"
        yield from _comment_blocks(_marked_comments(source, mark))
        if suffix == ".tf":
            yield from _descriptions(source)


def _python_strings(tree: ast.Module, messages: bool) -> Iterator[Block]:
    """Yield docstrings, strings that stand as statements of their own and, if asked for, every other string."""
    documented: set[ast.AST] = set()
    for node in ast.walk(tree):  # a node comes before its children
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.body and (constant := _statement_string(node.body[0])):
                documented.add(constant)
                yield _string_block(Kind.DOCSTRING, constant)
        elif (constant := _statement_string(node)) and constant not in documented:
            documented.add(constant)
            yield _string_block(Kind.TEXT, constant)
        elif messages and isinstance(node, ast.JoinedStr):
            documented.update(node.values)
            yield from _message(node.lineno, "".join(_literal(part) for part in node.values))
        elif messages and isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documented:
            yield from _message(node.lineno, node.value)


def _statement_string(node: ast.AST) -> ast.Constant | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value
    return None


def _string_block(kind: Kind, constant: ast.Constant) -> Block:
    return Block(kind, _lines(str(constant.value), constant.lineno, constant.col_offset))


def _literal(part: ast.expr) -> str:
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "{}"


def _message(line: int, text: str) -> Iterator[Block]:
    if len(re.findall(r"[^\W\d_]{2,}", text)) >= MIN_MESSAGE_WORDS:
        yield Block(Kind.MESSAGE, (Line(line, " ".join(text.split())),))


def _lines(text: str, first: int, margin: int = 0) -> tuple[Line, ...]:
    """Number the lines, and take the margin from all but the first."""
    return tuple(
        Line(first + index, line if index == 0 or line[:margin].strip() else line[margin:])
        for index, line in enumerate(text.split("\n"))
    )


@dataclass(frozen=True)
class _Comment:
    line: int
    column: int
    text: str
    alone: bool  # on its line


def _python_comments(source: str) -> Iterator[_Comment]:
    if "#" not in source:
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            yield _Comment(line, column, token.string.lstrip("#"), not token.line[:column].strip())


def _marked_comments(source: str, mark: str) -> Iterator[_Comment]:
    """Find the comments of a file whose comments run to the end of the line, outside of quotes."""
    pattern = re.compile(rf"""((?:[^"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*?)(?:^|(?<=\s)){re.escape(mark)}+(.*)""")
    for number, line in enumerate(source.split("\n"), 1):
        if mark in line and (match := pattern.match(line)):
            yield _Comment(number, match.end(1), match[2], not match[1].strip())


def _comment_blocks(comments: Iterable[_Comment]) -> Iterator[Block]:
    """Join comments on consecutive lines; a comment behind code is a block of its own."""
    block: list[_Comment] = []
    for comment in comments:
        if block and not (comment.alone and block[-1].alone and comment.line == block[-1].line + 1):
            yield Block(Kind.TEXT, tuple(_comment_line(part) for part in block))
            block = []
        block.append(comment)
    if block:
        yield Block(Kind.TEXT, tuple(_comment_line(part) for part in block))


def _comment_line(comment: _Comment) -> Line:
    """Return the prose of a comment, without the directives to other tools in it."""
    parts = re.split(r"\s+#+\s?", comment.text.removeprefix(" "))
    kept = (CHECKOV_SKIP.sub("- ", part) for part in parts if not DIRECTIVE.match(part))
    return Line(comment.line, ". ".join(kept))


def _descriptions(source: str) -> Iterator[Block]:
    for number, line in enumerate(source.split("\n"), 1):
        if match := DESCRIPTION.match(line):
            yield Block(Kind.TEXT, (Line(number, match[1]),))
