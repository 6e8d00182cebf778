"""The base of every local store: work is atomic, and a number is assigned once."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from promptforge.adapters.local.database import Database, next_number
from tests.contract.stores import OpenDatabase


class WorkFailed(Exception):
    """An error of the work itself."""


def notes(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("select name from task_names order by name")]


def write_note(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("insert into task_names (name, taken_at) values (?, 0)", (name,))


async def test_database_failed_work_rolls_back_and_next_work_runs(open_database: OpenDatabase) -> None:
    database = open_database()

    def fail(connection: sqlite3.Connection) -> None:
        write_note(connection, "half")
        raise WorkFailed

    with pytest.raises(WorkFailed):
        await database.write(fail)
    await database.write(lambda connection: write_note(connection, "whole"))

    assert await database.read(notes) == ["whole"]


async def test_database_next_number_is_unique(open_database: OpenDatabase) -> None:
    databases: list[Database] = [open_database(), open_database()]

    numbers = await asyncio.gather(*(databases[at % 2].write(next_number) for at in range(40)))
    later = await open_database().write(next_number)

    assert len(set(numbers)) == 40
    assert later > max(numbers)


async def test_database_reader_is_not_blocked_by_writer(open_database: OpenDatabase, tmp_path: Path) -> None:
    database = open_database()
    await database.write(lambda connection: write_note(connection, "old"))
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    try:
        other.execute("begin immediate")
        write_note(other, "new")

        async with asyncio.timeout(5):
            assert await database.read(notes) == ["old"]

        other.execute("commit")
    finally:
        other.close()
    assert await database.read(notes) == ["new", "old"]


async def test_database_reopened_file_has_confirmed_commits(open_database: OpenDatabase) -> None:
    first = open_database()
    await first.write(lambda connection: write_note(connection, "kept"))
    first.close()

    assert await open_database().read(notes) == ["kept"]
