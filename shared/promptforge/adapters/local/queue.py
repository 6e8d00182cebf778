"""What is still owed to the functions: one durable table behind topics, tasks and storage events.

A delivery is claimed for as long as its receiver may take, then either done or put back with a growing wait;
after MAX_ATTEMPTS it is dead: kept, and no longer tried.
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

DUE = "where source = ? and dead = 0 and not_before <= ? and attempts"
FIRST = "order by not_before, id limit ?"
AGAIN = f"select id from deliveries indexed by deliveries_again {DUE} > 0 {FIRST}"  # noqa: S608
NEW = f"select id from deliveries {DUE} = 0 {FIRST}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery that its claimer must end. `source` is `topic:…`, `queue:…` or `bucket:…`."""

    id: int
    source: str
    body: bytes
    attempts: int


def enqueue(connection: sqlite3.Connection, source: str, bodies: Iterable[bytes], not_before: float = 0.0) -> None:
    """Add deliveries, within the caller's transaction."""
    sql = "insert into deliveries (source, body, not_before) values (?, ?, ?)"
    connection.executemany(sql, [(source, body, not_before) for body in bodies])


class SqliteQueue:
    """The consumer's side of the table."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def claim(self, source: str, limit: int, ack_seconds: float) -> list[Delivery]:
        """Up to `limit` due deliveries; each comes again after `ack_seconds` unless it is ended. What was tried before
        goes first: it was begun before all that waits, and must not go to the end of a long queue for each fault."""
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> list[Delivery]:
            ids = connection.execute(AGAIN, (source, now, limit)).fetchall()
            ids += connection.execute(NEW, (source, now, limit - len(ids))).fetchall()
            sql = (
                "update deliveries set attempts = attempts + 1, not_before = ?"
                " where id in (select value from json_each(?)) returning id, source, body, attempts"
            )
            rows = connection.execute(sql, (now + ack_seconds, json.dumps([row[0] for row in ids]))).fetchall()
            return [Delivery(*row) for row in sorted(rows)]

        return await self._database.write(work)

    async def sources_due(self, sources: Sequence[str]) -> list[str]:
        """Which of the sources have something to claim; cheaper than claiming from each."""
        marks = ", ".join("?" * len(sources))
        sql = f"select distinct source from deliveries where source in ({marks}) and dead = 0 and not_before <= ?"  # noqa: S608
        values = [*sources, self._clock.now()]
        rows = await self._database.read(lambda connection: connection.execute(sql, values).fetchall())
        return [row[0] for row in rows]

    async def ack(self, delivery: Delivery) -> None:
        """Done: never again."""
        sql = "delete from deliveries where id = ?"
        await self._database.write(lambda connection: connection.execute(sql, (delivery.id,)))

    async def nack(self, delivery: Delivery) -> bool:
        """Not done: again after a while, unless it was claimed again meanwhile. True if this was its last try."""
        wait = min(MIN_BACKOFF_SECONDS * 2 ** (delivery.attempts - 1), MAX_BACKOFF_SECONDS)
        dead = delivery.attempts >= MAX_ATTEMPTS
        values = (self._clock.now() + wait, dead, delivery.id, delivery.attempts)
        sql = "update deliveries set not_before = ?, dead = ? where id = ? and attempts = ? and dead = 0"
        await self._database.write(lambda connection: connection.execute(sql, values))
        return dead

    async def make_visible(self) -> None:
        """Make every delivery that waits after a claim due now: for a new claimer, when the old one is dead."""
        now = self._clock.now()
        sql = "update deliveries set not_before = ? where attempts > 0 and dead = 0 and not_before > ?"
        await self._database.write(lambda connection: connection.execute(sql, (now, now)))


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
