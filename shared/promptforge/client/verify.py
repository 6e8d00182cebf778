"""Check on the user's side that every line of the input has exactly one line in the results.

Everything that can be recomputed is recomputed: the input is parsed again, and every file is counted and hashed.
A temporary database on disk matches the lines, so that memory stays small for any file.
"""

import base64
import hashlib
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promptforge.domain.formats.lines import BOM, LineSplitter
from promptforge.domain.formats.native import Prompt, is_blank, parse_line
from promptforge.domain.manifest import ERRORS_FILE, MANIFEST_FILE, FileEntry, InputEntry, Manifest
from promptforge.errors import SettingsError

BLOCK_BYTES = 1024 * 1024
ROWS_PER_INSERT = 5000
MAX_SHOWN = 20  # faults of each kind

Row = tuple[int | None, str | None]

SCHEMA = """
create table expected (line integer primary key, id text);
create table found (position integer primary key, line integer, id text);
"""
DROP_DUPLICATES = """
update expected set id = null where id is not null and line not in
    (select min(line) from expected where id is not null group by id);
create unique index expected_id on expected (id);
"""  # a line with the prompt_id of an earlier line is invalid, so errors.jsonl names it by its number
MATCH = """
create table matched as
    select position, found.line as found_line, found.id, expected.line
    from found left join expected on expected.id = found.id
    where found.line is null
    union all
    select position, found.line as found_line, found.id, expected.line
    from found left join expected
    on expected.line = found.line and (expected.id = found.id or expected.id is null or found.id is null)
    where found.line is not null;
create index matched_line on matched (line);
"""  # the prompt_id identifies a result, the line number an error
FAULTS = {
    "missing": "select line, id from expected where line not in (select line from matched where line is not null)",
    "duplicate": "select line, id from matched where line is not null group by line having count(*) > 1",
    "unexpected": "select found_line, id from matched where line is null",
    "out of order": "select line, id from (select line, id, lag(line) over (partition by found_line is null"
    " order by position) as before from matched where line is not null) where before > line",
}


class _FoundLine(BaseModel):
    """The fields that identify a line of a result file."""

    model_config = ConfigDict(strict=True)

    prompt_id: str | None
    line: int | None = Field(None, ge=1, lt=2**63)


@dataclass
class Verdict:
    """The number of prompts, results and errors, and a sentence for each fault."""

    lines: int = 0
    results: int = 0
    errors: int = 0
    faults: list[str] = field(default_factory=list)


def verify(file: Path, folder: Path) -> Verdict:
    """Check the results in a folder against the file that was uploaded.

    Raises SettingsError if the manifest is missing or malformed.
    """
    manifest, verdict = _read_manifest(folder), Verdict()
    with closing(sqlite3.connect("")) as database:
        database.executescript(SCHEMA)
        verdict.faults += _check_input(file, manifest.input)
        verdict.lines = _insert(database, "expected (line, id)", _expected_rows(file, manifest.input))
        database.executescript(DROP_DUPLICATES)
        for entry in manifest.files:
            verdict.faults += _check_file(folder, entry)
            lines = _insert(database, "found (line, id)", _found_rows(folder / Path(entry.filename).name, verdict))
            if entry.filename == ERRORS_FILE:
                verdict.errors += lines
            else:
                verdict.results += lines
        database.executescript(MATCH)
        for kind, sql in FAULTS.items():
            verdict.faults += _describe(kind, database.execute(sql))
    verdict.faults += [*_check_counts(manifest, verdict), *_unexpected_files(folder, manifest)]
    return verdict


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SettingsError(f"{path} not found: download it with the other files of the job.") from None
    except ValidationError:
        raise SettingsError(f"{path} is damaged: download it again.") from None


def _check_input(file: Path, entry: InputEntry) -> Iterator[str]:
    size, crc32c, _, _ = _measure(file)
    if (size, crc32c) != (entry.size, entry.crc32c):
        found, uploaded = f"{size} bytes, crc32c {crc32c}", f"{entry.size} bytes, crc32c {entry.crc32c}"
        yield f"{file} is not the file that was uploaded: it has {found}; the upload had {uploaded}"


def _check_file(folder: Path, entry: FileEntry) -> Iterator[str]:
    path = folder / Path(entry.filename).name
    if not path.is_file():
        yield f"{path} not found"
        return
    size, crc32c, lines, sha256 = _measure(path)
    if (size, lines, crc32c, sha256) != (entry.bytes, entry.lines, entry.crc32c, entry.sha256):
        yield f"{path} was changed: {lines} lines, {size} bytes, sha256 {sha256} differ from the manifest"


def _check_counts(manifest: Manifest, verdict: Verdict) -> Iterator[str]:
    listed = (manifest.prompt_count, manifest.completed_count, manifest.failed_count)
    counted = (verdict.lines, verdict.results, verdict.errors)
    if listed != counted:
        yield f"the manifest lists {listed} prompts, results and errors; the files hold {counted}"


def _unexpected_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    known = {entry.filename for entry in manifest.files}
    for path in sorted([*folder.glob("results_part_*.jsonl"), *folder.glob(ERRORS_FILE)]):
        if path.name not in known:
            yield f"{path} is not in the manifest"


def _measure(path: Path) -> tuple[int, str, int, str]:
    """Return the bytes, crc32c, lines and sha256 of a file."""
    crc32c, sha256, size, lines = google_crc32c.Checksum(), hashlib.sha256(), 0, 0
    for block in _blocks(path):
        crc32c.update(block)
        sha256.update(block)
        size, lines = size + len(block), lines + block.count(b"\n")
    return size, base64.b64encode(crc32c.digest()).decode(), lines, sha256.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _expected_rows(file: Path, entry: InputEntry) -> Iterator[Row]:
    """Yield the number of every non-blank line, with its prompt_id if the line is valid."""
    for number, line in enumerate(_lines(file, LineSplitter(entry.max_line_bytes)), 1):
        if not is_blank(line):
            parsed = parse_line(line)
            yield number, parsed.prompt_id if isinstance(parsed, Prompt) else None


def _lines(file: Path, splitter: LineSplitter) -> Iterator[bytes]:
    for number, block in enumerate(_blocks(file)):
        yield from splitter.feed(block.removeprefix(BOM) if number == 0 else block)
    yield from splitter.finish()


def _found_rows(path: Path, verdict: Verdict) -> Iterator[Row]:
    """Yield the prompt_id of every line of a result file, and the line number if it is the file of errors."""
    if not path.is_file():
        return
    invalid = 0
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            try:
                row = _FoundLine.model_validate(orjson.loads(text))
            except ValueError:
                invalid += 1
                if invalid <= MAX_SHOWN:
                    verdict.faults.append(f"{path} line {number} is not a valid result line")
            else:
                yield (row.line if path.name == ERRORS_FILE else None), row.prompt_id
    if invalid > MAX_SHOWN:
        verdict.faults.append(f"{path}: {invalid - MAX_SHOWN} more are not valid result lines")


def _insert(database: sqlite3.Connection, target: str, rows: Iterator[Row]) -> int:
    """Insert the rows into a table and return their number."""
    count = 0
    while batch := list(itertools.islice(rows, ROWS_PER_INSERT)):
        database.executemany(f"insert into {target} values (?, ?)", batch)  # noqa: S608
        count += len(batch)
    database.commit()
    return count


def _describe(kind: str, rows: Iterable[Row]) -> Iterator[str]:
    found = 0
    for found, (line, prompt_id) in enumerate(rows, 1):
        if found <= MAX_SHOWN:
            place = "" if line is None else f"line {line}, "
            yield f"{kind}: {place}{json.dumps(prompt_id)}"
    if found > MAX_SHOWN:
        yield f"{kind}: {found - MAX_SHOWN} more"
