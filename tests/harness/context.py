"""A context with some of its adapters replaced."""

import dataclasses
from typing import Any

from promptforge.context import AppContext


def with_adapters(context: AppContext, **adapters: Any) -> AppContext:
    """Return a context like this one, with the named fields of its backend replaced."""
    backend = dataclasses.replace(context.backend, **adapters)
    return AppContext(context.settings, backend, context.clock, context.rng)
