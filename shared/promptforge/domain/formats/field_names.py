"""Names of fields that are probably misspelled parameters."""

from collections.abc import Iterable
from functools import lru_cache

from promptforge.domain.formats.params import LINE_PARAMS

MAX_NAME_CHARS = max(map(len, LINE_PARAMS)) + 8  # no longer name can resemble a parameter

OWN_WORDS = frozenset({"feed", "mode", "need", "send", "shop", "speed", "step", "top", "top_k"})
"""Names within one edit of a parameter that have a meaning of their own, so that a data column may have them."""


def similar_parameter(name: str) -> str | None:
    """Return the parameter of a line that the name of another field resembles, or None."""
    return None if len(name) > MAX_NAME_CHARS else _similar_parameter(name)


def similar_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that differs in one edit, or only in case and separators, or None."""
    if name in OWN_WORDS:
        return None
    return next((each for each in sorted(known) if _within_one_edit(name, each) or _bare(name) == _bare(each)), None)


def suggestion(known: str) -> str:
    """Return the end of a message about a field that resembles a known one."""
    return f"Unknown field, did you mean {known}? Correct the name, or choose a less similar one"


@lru_cache(maxsize=1024)
def _similar_parameter(name: str) -> str | None:
    return similar_name(name, LINE_PARAMS)


def _within_one_edit(one: str, other: str) -> bool:
    """Return whether one insertion, deletion, substitution or swap of neighbours makes the texts equal."""
    pairs = enumerate(zip(one, other, strict=False))
    start = next((position for position, (left, right) in pairs if left != right), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    return a[1:] in (b, b[1:]) or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


def _bare(name: str) -> str:
    return name.casefold().translate({ord(separator): None for separator in "-_ "})
