"""A context with some of its adapters replaced."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from promptforge.bootstrap import build_worker_runtime, set_current
from promptforge.context import AppContext
from tests.harness.in_process import InProcessStack


def with_adapters(context: AppContext, **adapters: Any) -> AppContext:
    """Return a context like this one, with the named fields of its backend replaced."""
    backend = dataclasses.replace(context.backend, **adapters)
    return AppContext(context.settings, backend, context.clock, context.rng)


@asynccontextmanager
async def replaced_adapters(one: InProcessStack, **adapters: Any) -> AsyncIterator[None]:
    """Inside, the functions of the stack work with these adapters."""
    app, runtime = one.context, one.runtime
    one.context = with_adapters(app, **adapters)
    one.runtime = build_worker_runtime(one.context)
    set_current(one.context, one.runtime)
    try:
        yield
    finally:
        await one.runtime.close()
        one.context, one.runtime = app, runtime
        set_current(app, runtime)
