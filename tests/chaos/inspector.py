"""A look into the engine's data folder beside it, as any other process of the product has it."""

import random
import time
from collections.abc import Iterable
from pathlib import Path

from promptforge.adapters.clock import SystemClock
from promptforge.adapters.local.database import Database
from promptforge.adapters.local.documents import SqliteDocuments
from promptforge.adapters.local.queue import SqliteTasks
from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.state.jobs import Ledger

Held = tuple[str, Chunk]


class StateInspector:
    """Which chunks are held by whom."""

    def __init__(self, data_dir: Path) -> None:
        self._database = Database(data_dir / "state.db")
        self._ledger = Ledger(SqliteDocuments(self._database), SystemClock(), random.Random(1))
        self._tasks = SqliteTasks(self._database, SystemClock())

    async def held_by(self, instances: Iterable[str]) -> list[Held]:
        """The open chunks of these workers, with their jobs."""
        prefixes = tuple(f"{instance}." for instance in instances if instance)
        return [
            (job.job_id, chunk)
            async for job in self._ledger.list_due_jobs(float("inf"))
            async for chunk in self._ledger.list_open(job.job_id, float("inf"))
            if prefixes and (chunk.holder or "").startswith(prefixes)
        ]

    async def taken_over(self, held: Iterable[Held]) -> int:
        """How many of these chunks have been claimed again since."""
        count = 0
        for job_id, chunk in held:
            now = [other.epoch async for other in self._ledger.list_all(job_id) if other.number == chunk.number]
            count += now > [chunk.epoch]
        return count

    async def redeliver(self, chunks: Iterable[Held]) -> None:
        """Knock for the chunks once more, as a platform that delivers at least once may do at any time."""
        for job_id, chunk in chunks:
            message = ProcessChunk(job_id=job_id, chunk=chunk.number).encode()
            await self._tasks.enqueue("worker", message, name=f"knock-{job_id}-{chunk.number}-{time.time()}")

    def close(self) -> None:
        """Close the file."""
        self._database.close()
