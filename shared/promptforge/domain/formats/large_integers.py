"""Integers of more than 64 bits, which the JSON parser rounds to a float."""

import re
from collections.abc import Iterator

TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|(-?\d+)([.eE]?)[-+.eE\d]*')
"""A string or a number of a valid JSON text; a number is an integer if no letter or point follows its digits."""


def has_large_integer(value: object, text: bytes) -> bool:
    """Return whether a value holds an integer of more than 64 bits.

    `text` is the JSON text that contains the value. A float that is written as a float, such as 1e300, is no integer.
    """
    rounded = {number for number in _floats(value) if abs(number) >= 2**63}
    return bool(rounded) and not rounded.isdisjoint(_large_integers(text))


def _large_integers(text: bytes) -> Iterator[float]:
    for integer, rest in TOKEN.findall(text):
        if integer and not rest and len(integer) > 18:
            yield float(integer)


def _floats(value: object) -> Iterator[float]:
    """Yield the floats of a JSON value, without recursion because the nesting of a line may be deep."""
    stack = [value]
    while stack:
        match stack.pop():
            case float(number):
                yield number
            case dict(members):
                stack.extend(members.values())
            case list(items):
                stack.extend(items)
