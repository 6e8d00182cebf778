"""`promptforge verify`: proves on the user's side that every line of the input has exactly one line in the results.

It trusts nothing it can recompute: the input is read again by the rules of the format, and every file is counted and
hashed. The lines are matched in a temporary database on disk, so that memory stays small for any file.
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
ROWS_AT_ONCE = 5000
SHOWN = 20  # of each kind of fault

Row = tuple[int | None, str | None]

SCHEMA = """
create table expected (line integer primary key, id text);
create table given (at integer primary key, line integer, id text);
"""
DROP_DUPLICATES = """
update expected set id = null where id is not null and line not in
    (select min(line) from expected where id is not null group by id);
create unique index expected_id on expected (id);
"""  # a repeated prompt_id is a bad line, as one that cannot be read
MATCH = """
create table matched as
    select at, given.line as said, given.id, expected.line from given left join expected on expected.id = given.id
    where given.line is null
    union all
    select at, given.line as said, given.id, expected.line from given left join expected
    on expected.line = given.line and (expected.id = given.id or expected.id is null or given.id is null)
    where given.line is not null;
create index matched_line on matched (line);
"""  # a result is known by its prompt_id, an error by its line
FAULTS = {
    "missing": "select line, id from expected where line not in (select line from matched where line is not null)",
    "doubled": "select line, id from matched where line is not null group by line having count(*) > 1",
    "foreign": "select said, id from matched where line is null",
    "out of order": "select line, id from (select line, id, lag(line) over (partition by said is null order by at)"
    " as before from matched where line is not null) where before > line",
}


class _Given(BaseModel):
    """What a line of a result file must say of itself."""

    model_config = ConfigDict(strict=True)

    prompt_id: str | None
    line: int | None = Field(None, ge=1, lt=2**63)


@dataclass
class Verdict:
    """What was found: how many lines were asked for, answered and failed, and a sentence for each fault."""

    lines: int = 0
    results: int = 0
    errors: int = 0
    faults: list[str] = field(default_factory=list)


def verify(file: Path, folder: Path) -> Verdict:
    """Check the results in `folder` against the `file` that was uploaded. Raises SettingsError without a manifest."""
    manifest, verdict = _manifest(folder), Verdict()
    with closing(sqlite3.connect("")) as database:
        database.executescript(SCHEMA)
        verdict.faults += _check_input(file, manifest.input)
        verdict.lines = _fill(database, "expected (line, id)", _expected(file, manifest.input))
        database.executescript(DROP_DUPLICATES)
        for entry in manifest.files:
            verdict.faults += _check_file(folder, entry)
            lines = _fill(database, "given (line, id)", _given(folder / Path(entry.filename).name, verdict))
            if entry.filename == ERRORS_FILE:
                verdict.errors += lines
            else:
                verdict.results += lines
        database.executescript(MATCH)
        for kind, sql in FAULTS.items():
            verdict.faults += _sentences(kind, database.execute(sql))
    verdict.faults += [*_check_counts(manifest, verdict), *_unexpected_files(folder, manifest)]
    return verdict


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SettingsError(f"{path} is not there: download it with the other files of the job.") from None
    except ValidationError:
        raise SettingsError(f"{path} is damaged: download it again.") from None


def _check_input(file: Path, entry: InputEntry) -> Iterator[str]:
    size, crc32c, _, _ = _measure(file)
    if (size, crc32c) != (entry.size, entry.crc32c):
        found, pinned = f"{size} bytes, crc32c {crc32c}", f"{entry.size} bytes, crc32c {entry.crc32c}"
        yield f"{file} is not the file that was uploaded: {found}; it had {pinned}"


def _check_file(folder: Path, entry: FileEntry) -> Iterator[str]:
    path = folder / Path(entry.filename).name
    if not path.is_file():
        yield f"{path} is not there"
        return
    size, crc32c, lines, sha256 = _measure(path)
    if (size, lines, crc32c, sha256) != (entry.bytes, entry.lines, entry.crc32c, entry.sha256):
        yield f"{path} was changed: {lines} lines, {size} bytes, sha256 {sha256}, not as the manifest says"


def _check_counts(manifest: Manifest, verdict: Verdict) -> Iterator[str]:
    said = (manifest.prompt_count, manifest.completed_count, manifest.failed_count)
    found = (verdict.lines, verdict.results, verdict.errors)
    if said != found:
        yield f"the manifest says {said} prompts, results and errors; there are {found}"


def _unexpected_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    known = {entry.filename for entry in manifest.files}
    for path in sorted([*folder.glob("results_part_*.jsonl"), *folder.glob(ERRORS_FILE)]):
        if path.name not in known:
            yield f"{path} is not in the manifest"


def _measure(path: Path) -> tuple[int, str, int, str]:
    """Bytes, crc32c, lines and sha256 of a file."""
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


def _expected(file: Path, entry: InputEntry) -> Iterator[Row]:
    """The number of every non-blank line, with its prompt_id if the line is good."""
    for number, line in enumerate(_lines(file, LineSplitter(entry.max_line_bytes)), 1):
        if not is_blank(line):
            judged = parse_line(line)
            yield number, judged.prompt_id if isinstance(judged, Prompt) else None


def _lines(file: Path, splitter: LineSplitter) -> Iterator[bytes]:
    for number, block in enumerate(_blocks(file)):
        yield from splitter.feed(block.removeprefix(BOM) if number == 0 else block)
    yield from splitter.finish()


def _given(path: Path, verdict: Verdict) -> Iterator[Row]:
    """What every line of a file is for: a result for its prompt_id, an error for its line."""
    if not path.is_file():
        return
    bad = 0
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            try:
                row = _Given.model_validate(orjson.loads(text))
            except ValueError:
                bad += 1
                if bad <= SHOWN:
                    verdict.faults.append(f"{path} line {number} is no line of ours")
            else:
                yield (row.line if path.name == ERRORS_FILE else None), row.prompt_id
    if bad > SHOWN:
        verdict.faults.append(f"{path}: {bad - SHOWN} more are no line of ours")


def _fill(database: sqlite3.Connection, target: str, rows: Iterator[Row]) -> int:
    """Put the rows into a table; how many there were."""
    count = 0
    while batch := list(itertools.islice(rows, ROWS_AT_ONCE)):
        database.executemany(f"insert into {target} values (?, ?)", batch)  # noqa: S608
        count += len(batch)
    database.commit()
    return count


def _sentences(kind: str, rows: Iterable[Row]) -> Iterator[str]:
    found = 0
    for found, (line, prompt_id) in enumerate(rows, 1):
        if found <= SHOWN:
            yield f"{kind}: " + ", ".join([f"line {line}"] * (line is not None) + [json.dumps(prompt_id)])
    if found > SHOWN:
        yield f"{kind}: {found - SHOWN} more"
