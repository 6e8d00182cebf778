"""Recovery at the start of an engine: continue the work of the previous one, however it ended."""

import asyncio
import fcntl
import os
from pathlib import Path

from promptforge import logs
from promptforge.adapters.local.objects import FileObjects
from promptforge.adapters.local.queue import SqliteQueue
from promptforge.context import AppContext
from promptforge.engine.http_server import DRAIN_SECONDS
from promptforge.pipeline.sweep import expire_leases


async def recover(context: AppContext, queue: SqliteQueue) -> None:
    """Make all unfinished work of the previous engine due again.

    Its workers exit when it does, but they may still wait for calls in flight. Unresponsive workers keep their leases,
    which expire by time.
    """
    if await _previous_workers_exited(context.settings.data_dir):
        await expire_leases(context, None)
        for bucket in (context.uploads, context.work, context.results):
            if isinstance(bucket, FileObjects):
                await bucket.sweep()
    await queue.make_visible()


async def _previous_workers_exited(data_dir: Path) -> bool:
    """Wait until no worker process of the previous engine holds the workers' lock.

    Returns False after a timeout.
    """
    descriptor = os.open(data_dir / "workers.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        logged = False
        async with asyncio.timeout(DRAIN_SECONDS + 2):
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if not logged:
                        logs.warning("waiting_for_previous_workers", seconds=DRAIN_SECONDS + 2)
                        logged = True
                    await asyncio.sleep(0.05)
                else:
                    return True
    except TimeoutError:
        logs.warning("previous_workers_unresponsive")
        return False
    finally:
        os.close(descriptor)
