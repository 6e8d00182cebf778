"""One SQLite file in WAL mode, shared by the engine and its worker processes."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import TypeVar

from promptforge.errors import Unavailable

T = TypeVar("T")
BUSY_SECONDS = 20.0
CLEAR_LOG_SECONDS = 1.0  # the longest wait of all others when a reader stands still


class Database:
    """Runs short SQL work off the event loop, each in its own transaction.

    With `synchronous=FULL` a confirmed commit survives a power cut and a killed process. `secure_delete` makes removed
    and replaced data unreadable in the file; in its log it stays until `clear_log`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with _translate_errors():
            for pragma in ("journal_mode=wal", "synchronous=full", "secure_delete=on", "temp_store=memory"):
                self._connection.execute(f"pragma {pragma}")
            schema = resources.files(__package__).joinpath("schema.sql").read_text()
            self._connection.executescript(f"begin immediate; {schema} commit;")

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` and return its value; it must not write."""
        return await asyncio.to_thread(self._run, "begin", work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` as the only writer and commit, or roll back if it raises.

        Raises Unavailable if the file is busy for BUSY_SECONDS or cannot be written.
        """
        return await asyncio.to_thread(self._run, "begin immediate", work)

    async def clear_log(self) -> None:
        """Move the log into the file and empty it, unless others read and write without a pause."""
        await asyncio.to_thread(self._clear_log)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _clear_log(self) -> None:
        with _translate_errors(), closing(sqlite3.connect(self._path, timeout=CLEAR_LOG_SECONDS)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")

    def _run(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, _translate_errors():
            self._connection.execute(begin)
            try:
                value = work(self._connection)
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise
            return value


def next_number(connection: sqlite3.Connection) -> int:
    """Return a number that was never assigned before, for versions and generations."""
    row = connection.execute("update counter set value = value + 1 returning value").fetchone()
    return int(row[0])


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise Unavailable("database", exc.sqlite_errorname) from exc
