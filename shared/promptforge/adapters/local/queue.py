"""The durable queue of undelivered messages, tasks and storage events: one table.

A delivery is claimed for as long as its receiver may take. Then it is acknowledged, or visible again after a growing
wait. After MAX_ATTEMPTS it is a dead letter: stored, but no longer delivered.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from promptforge.adapters.local.database import Database
from promptforge.ports.clock import Clock

MAX_ATTEMPTS = 10
MIN_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 60.0
NAME_TAKEN_SECONDS = 3600.0

PAUSED_SECONDS = 1e12
"""A paused delivery is due this much later, so that it keeps the time at which it was due."""

RESUME_SQL = "update deliveries set not_before = not_before - ? where not_before >= ?"
DUE_CONDITION = "where source = ? and dead_lettered = 0 and not_before <= ? and attempts"
ORDER = "order by not_before, id limit ?"
REPEATED_SQL = f"select id from deliveries indexed by deliveries_repeated {DUE_CONDITION} > 0 {ORDER}"  # noqa: S608
NEW_SQL = f"select id from deliveries {DUE_CONDITION} = 0 {ORDER}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Delivery:
    """One claimed delivery, which its claimer must acknowledge or return.

    `source` is `topic:…`, `queue:…` or `bucket:…`.
    """

    id: int
    source: str
    body: bytes
    attempts: int


def enqueue(connection: sqlite3.Connection, source: str, bodies: Iterable[bytes], not_before: float = 0.0) -> None:
    """Add deliveries, within the caller's transaction."""
    sql = "insert into deliveries (source, body, not_before) values (?, ?, ?)"
    connection.executemany(sql, [(source, body, not_before) for body in bodies])


class SqliteQueue:
    """The consumer side of the queue."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def claim(self, source: str, limit: int, ack_seconds: float) -> list[Delivery]:
        """Claim up to `limit` due deliveries.

        Each becomes visible again after `ack_seconds` unless it is acknowledged.

        Repeated deliveries have precedence, so that an error does not move them to the end of a long queue.
        """
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> list[Delivery]:
            ids = connection.execute(REPEATED_SQL, (source, now, limit)).fetchall()
            ids += connection.execute(NEW_SQL, (source, now, limit - len(ids))).fetchall()
            sql = (
                "update deliveries set attempts = attempts + 1, not_before = ?"
                " where id in (select value from json_each(?)) returning id, source, body, attempts"
            )
            rows = connection.execute(sql, (now + ack_seconds, json.dumps([row[0] for row in ids]))).fetchall()
            return [Delivery(*row) for row in sorted(rows)]

        return await self._database.write(work)

    async def sources_due(self, sources: Sequence[str]) -> list[str]:
        """Return the sources with something to claim; cheaper than a claim from each."""
        marks = ", ".join("?" * len(sources))
        condition = f"source in ({marks}) and dead_lettered = 0 and not_before <= ?"
        sql = f"select distinct source from deliveries where {condition}"  # noqa: S608
        values = [*sources, self._clock.now()]
        rows = await self._database.read(lambda connection: connection.execute(sql, values).fetchall())
        return [row[0] for row in rows]

    async def ack(self, delivery: Delivery) -> None:
        """Acknowledge a delivery: it is removed."""
        sql = "delete from deliveries where id = ?"
        await self._database.write(lambda connection: connection.execute(sql, (delivery.id,)))

    async def nack(self, delivery: Delivery) -> bool:
        """Return a delivery: it becomes visible again after a wait, unless it was claimed meanwhile.

        Returns True if it is a dead letter now.
        """
        wait = min(MIN_BACKOFF_SECONDS * 2 ** (delivery.attempts - 1), MAX_BACKOFF_SECONDS)
        dead_lettered = delivery.attempts >= MAX_ATTEMPTS
        values = (self._clock.now() + wait, dead_lettered, delivery.id, delivery.attempts)
        condition = "id = ? and attempts = ? and dead_lettered = 0"
        sql = f"update deliveries set not_before = ?, dead_lettered = ? where {condition}"  # noqa: S608
        await self._database.write(lambda connection: connection.execute(sql, values))
        return dead_lettered

    async def make_visible(self) -> None:
        """Make every claimed or paused delivery visible: for a new claimer, when the old one has exited."""
        now = self._clock.now()
        sql = "update deliveries set not_before = ? where attempts > 0 and dead_lettered = 0 and not_before > ?"

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(RESUME_SQL, (PAUSED_SECONDS, PAUSED_SECONDS))
            connection.execute(sql, (now, now))

        await self._database.write(work)

    async def pause(self, sources: Sequence[str]) -> None:
        """Keep the deliveries of these sources until they are resumed or made visible."""
        marks = ", ".join("?" * len(sources))
        sql = f"update deliveries set not_before = not_before + ? where source in ({marks}) and not_before < ?"  # noqa: S608
        values = [PAUSED_SECONDS, *sources, PAUSED_SECONDS]
        await self._database.write(lambda connection: connection.execute(sql, values))

    async def pause_claimed(self, delivery: Delivery) -> None:
        """Return a delivery unsent and keep it likewise; the claim is no attempt."""
        sql = "update deliveries set not_before = ?, attempts = attempts - 1 where id = ? and attempts = ?"
        values = (PAUSED_SECONDS + self._clock.now(), delivery.id, delivery.attempts)
        await self._database.write(lambda connection: connection.execute(sql, values))

    async def resume(self, job_id: str) -> None:
        """Resume the paused deliveries of a job, each for the time at which it was due."""
        sql = f"{RESUME_SQL} and instr(body, ?)"
        values = (PAUSED_SECONDS, PAUSED_SECONDS, job_id.encode())
        await self._database.write(lambda connection: connection.execute(sql, values))


class SqliteTopics:
    """The topics port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, topic: str, messages: Sequence[bytes]) -> None:
        await self._database.write(lambda connection: enqueue(connection, f"topic:{topic}", messages))


class SqliteTasks:
    """The tasks port."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def enqueue(self, queue: str, body: bytes, *, name: str, not_before: float = 0.0) -> None:
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("delete from task_names where taken_at < ?", (now - NAME_TAKEN_SECONDS,))
            sql = "insert into task_names (name, taken_at) values (?, ?) on conflict do nothing"
            if connection.execute(sql, (name, max(now, not_before))).rowcount:
                enqueue(connection, f"queue:{queue}", [body], not_before)

        await self._database.write(work)
