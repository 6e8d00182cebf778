"""Contexts with some adapters replaced."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from promptforge.bootstrap import build_worker_runtime, set_current
from promptforge.context import AppContext
from tests.harness.in_process import InProcessStack


def with_adapters(context: AppContext, **adapters: Any) -> AppContext:
    """Return a copy of a context with the named fields of its backend replaced."""
    backend = dataclasses.replace(context.backend, **adapters)
    return AppContext(context.settings, backend, context.clock, context.rng)


@asynccontextmanager
async def replaced_adapters(stack: InProcessStack, **adapters: Any) -> AsyncIterator[None]:
    """Let the functions of a stack use these adapters inside the block."""
    context, runtime = stack.context, stack.runtime
    stack.context = with_adapters(context, **adapters)
    stack.runtime = build_worker_runtime(stack.context)
    set_current(stack.context, stack.runtime)
    try:
        yield
    finally:
        await stack.runtime.close()
        stack.context, stack.runtime = context, runtime
        set_current(context, runtime)
