"""`promptforge verify` reports every change of the lines, also if the manifest was adapted to them."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.client.verify import verify
from tests.harness.finished_job import CONTENT, ERRORS, FinishedJob

Change = Callable[[FinishedJob, Callable[[int], int]], Iterator[str]]


def _rows(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _some_file(finished: FinishedJob, pick: Callable[[int], int]) -> tuple[Path, list[bytes]]:
    files = [*finished.parts(), finished.folder / ERRORS]
    path = files[pick(len(files))]
    return path, _rows(path)


def remove_line(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, rows = _some_file(finished, pick)
    rows.pop(pick(len(rows)))
    path.write_bytes(b"".join(rows))
    yield "missing: line "


def duplicate_line(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, rows = _some_file(finished, pick)
    target, others = _some_file(finished, pick)
    if (path.name == ERRORS) != (target.name == ERRORS):
        target, others = path, rows
    others.insert(pick(len(others)), rows[pick(len(rows))])
    target.write_bytes(b"".join(others))
    yield "duplicate: line "


def swap_lines(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, rows = _some_file(finished, pick)
    at = pick(len(rows) - 1)
    rows[at], rows[at + 1] = rows[at + 1], rows[at]
    path.write_bytes(b"".join(rows))
    yield "out of order: line "


def answer_unknown_id(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path = finished.parts()[pick(len(finished.parts()))]
    rows = _rows(path)
    at = pick(len(rows))
    rows[at] = orjson.dumps(orjson.loads(rows[at]) | {"prompt_id": "unknown"}) + b"\n"
    path.write_bytes(b"".join(rows))
    yield 'unexpected: "unknown"'
    yield "missing: line "


def report_missing_line(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path = finished.folder / ERRORS
    rows, line = _rows(path), (1, 42, 10_000)[pick(3)]  # two blank lines, and one past the end
    at = pick(len(rows))
    rows[at] = orjson.dumps(orjson.loads(rows[at]) | {"line": line}) + b"\n"
    path.write_bytes(b"".join(rows))
    yield f"unexpected: line {line}, "
    yield "missing: line "


def add_error_for_answered_prompt(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path = finished.folder / ERRORS
    (line,) = [n for n, row in enumerate(CONTENT.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1) if b'"id-7"' in row]
    row = {"prompt_id": "id-7", "error": "provider_error", "message": "m.", "attempts": 1, "line": line}
    rows = _rows(path)
    rows.insert(pick(1), orjson.dumps(row) + b"\n")
    path.write_bytes(b"".join(rows))
    yield f'duplicate: line {line}, "id-7"'


def swap_files(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    at = pick(len(finished.parts()) - 1)
    one, other = finished.parts()[at : at + 2]
    contents = other.read_bytes(), one.read_bytes()
    one.write_bytes(contents[0])
    other.write_bytes(contents[1])
    yield "out of order: line "


def empty_file(finished: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, _ = _some_file(finished, pick)
    path.write_bytes(b"")
    yield "missing: line "


CHANGES: list[Change] = [
    remove_line,
    duplicate_line,
    swap_lines,
    answer_unknown_id,
    report_missing_line,
    add_error_for_answered_prompt,
    swap_files,
    empty_file,
]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(change=st.sampled_from(CHANGES), sealed=st.booleans(), data=st.data())
def test_verify_changed_lines_are_reported(
    good: FinishedJob, change: Change, sealed: bool, data: st.DataObject
) -> None:
    def pick(count: int) -> int:
        return data.draw(st.integers(0, count - 1))

    with tempfile.TemporaryDirectory() as folder:
        finished = good.copy_to(Path(folder) / "copy")
        expected = list(change(finished, pick))
        if sealed:
            finished.update_manifest()
        faults = verify(finished.file, finished.folder).faults

    for sentence in expected:
        assert any(sentence in fault for fault in faults), faults
    if not sealed:
        assert any("was changed" in fault for fault in faults)


@pytest.mark.parametrize("name", ["results_part_001.jsonl", ERRORS])
@pytest.mark.parametrize(
    "malformed",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b'{"prompt_id": 5.5, "line": 7}\n',
        b'{"prompt_id": null, "line": true}\n',
        b'{"prompt_id": null, "line": 0}\n',
        b'{"prompt_id": null, "line": 1e40}\n',
        b'{"prompt_id": null, "line": 9223372036854775808}\n',
    ],
)
def test_verify_malformed_line_is_reported_with_its_number(copy: FinishedJob, name: str, malformed: bytes) -> None:
    path = copy.folder / name
    rows = _rows(path)
    path.write_bytes(b"".join([*rows[:3], malformed, *rows[3:]]))

    assert f"{path} line 4 is not a valid result line" in verify(copy.file, copy.folder).faults
