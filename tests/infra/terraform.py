"""What stands in infra/, as far as it is written out there: expressions are left as their text."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

INFRA = Path(__file__).parents[2] / "infra"
OPTIONS = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)

Block = dict[str, Any]


@cache
def blocks(kind: str) -> tuple[Block, ...]:
    """All blocks of a kind (`resource`, `variable`, …) in the root module, each under its labels."""
    return tuple(block for file in sorted(INFRA.glob("*.tf")) for block in _loaded(file).get(kind, []))


@cache
def local(name: str) -> Any:
    """A local value; whatever is no literal in it is a string `${…}`."""
    (value,) = (block[name] for block in blocks("locals") if name in block)
    return value


def resources(kind: str) -> dict[str, Block]:
    """The resources of a type, by their names."""
    return {name: body for found, name, body in every_resource() if found == kind}


def every_resource() -> Iterator[tuple[str, str, Block]]:
    """Type, name and body of each resource."""
    for block in blocks("resource"):
        for kind, named in block.items():
            for name, body in named.items():
                yield kind, name, body


def function(name: str) -> Block:
    """A row of the table of functions, with its defaults."""
    return {**local("defaults"), **local("table")[name]}


def module(name: str) -> Block:
    """A call of a module."""
    (body,) = (block[name] for block in blocks("module") if name in block)
    return dict(body)


@cache
def _loaded(file: Path) -> Block:
    with file.open() as text:
        return dict(hcl2.load(text, serialization_options=OPTIONS))
