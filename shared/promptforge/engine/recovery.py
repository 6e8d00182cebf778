"""What an engine does before it starts: go on where the last one was, however that ended."""

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


async def recover(app: AppContext, deliveries: SqliteQueue) -> None:
    """Make everything that was under way due again. The last engine's workers end when it does, but they may be
    letting come back what was in flight: wait for them, and if they hang let their leases run out instead."""
    if await _workers_are_gone(app.settings.data_dir):
        await expire_leases(app, None)
        for bucket in (app.uploads, app.work, app.results):
            if isinstance(bucket, FileObjects):
                await bucket.sweep()
    await deliveries.make_visible()


async def _workers_are_gone(data_dir: Path) -> bool:
    descriptor = os.open(data_dir / "workers.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        told = False
        async with asyncio.timeout(DRAIN_SECONDS + 2):
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if not told:
                        logs.warning("waiting_for_previous_workers", seconds=DRAIN_SECONDS + 2)
                        told = True
                    await asyncio.sleep(0.05)
                else:
                    return True
    except TimeoutError:
        logs.warning("previous_workers_unresponsive")
        return False
    finally:
        os.close(descriptor)
