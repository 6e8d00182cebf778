"""Reads the Terraform files of infra as data.

Literals become Python values; expressions stay text.
"""

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
    """Return all blocks of a kind (`resource`, `variable`, …) in the root module, each under its labels."""
    return tuple(block for file in sorted(INFRA.glob("*.tf")) for block in _load(file).get(kind, []))


@cache
def local(name: str) -> Any:
    """Return a local value; expressions in it are strings `${…}`."""
    (value,) = (block[name] for block in blocks("locals") if name in block)
    return value


def resources(kind: str) -> dict[str, Block]:
    """Return the resources of a type, by name."""
    return {name: body for found, name, body in every_resource() if found == kind}


def every_resource() -> Iterator[tuple[str, str, Block]]:
    """Yield type, name and body of each resource."""
    for block in blocks("resource"):
        for kind, named in block.items():
            for name, body in named.items():
                yield kind, name, body


def function(name: str) -> Block:
    """Return a row of the function table, with defaults applied."""
    return {**local("defaults"), **local("table")[name]}


def module(name: str) -> Block:
    """Return the block of a module call."""
    (body,) = (block[name] for block in blocks("module") if name in block)
    return dict(body)


@cache
def _load(file: Path) -> Block:
    with file.open() as text:
        return dict(hcl2.load(text, serialization_options=OPTIONS))
