"""Access to the data folder of an engine from another process."""

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
from promptforge.state.chunks import ChunkStore
from promptforge.state.jobs import JobStore
from promptforge.state.spend_quotas import SpendQuotaStore

LeasedChunk = tuple[str, Chunk]
"""A job id and a chunk with a holder."""


class StateInspector:
    """Reads the leases of workers and delivers messages of their chunks again."""

    def __init__(self, data_dir: Path) -> None:
        clock, rng = SystemClock(), random.Random(1)
        self._database = Database(data_dir / "state.db")
        documents = SqliteDocuments(self._database)
        self._jobs = JobStore(documents, SpendQuotaStore(documents, rng), clock, rng)
        self._chunks = ChunkStore(documents, clock, rng)
        self._tasks = SqliteTasks(self._database, clock)

    async def leased_by(self, instances: Iterable[str]) -> list[LeasedChunk]:
        """Return the chunks that these workers hold."""
        prefixes = tuple(f"{instance}." for instance in instances if instance)
        return [
            (job.job_id, chunk)
            async for job in self._jobs.list_due(float("inf"))
            async for chunk in self._chunks.list_open(job.job_id, float("inf"))
            if prefixes and (chunk.holder or "").startswith(prefixes)
        ]

    async def count_claimed_again(self, leased: Iterable[LeasedChunk]) -> int:
        """Return the number of these chunks that were claimed since."""
        count = 0
        for job_id, chunk in leased:
            epochs = [other.epoch async for other in self._chunks.list_all(job_id) if other.number == chunk.number]
            count += epochs > [chunk.epoch]
        return count

    async def redeliver(self, leased: Iterable[LeasedChunk]) -> None:
        """Enqueue the messages of chunks again, as a platform with at-least-once delivery may do at any time."""
        for job_id, chunk in leased:
            message = ProcessChunk(job_id=job_id, chunk=chunk.number).encode()
            await self._tasks.enqueue("worker", message, name=f"redelivered-{job_id}-{chunk.number}-{time.time()}")

    def close(self) -> None:
        """Close the database."""
        self._database.close()
