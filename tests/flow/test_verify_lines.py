"""`promptforge verify` finds whatever is wrong with the lines, also when the manifest was made to fit them."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bundle import CONTENT, ERRORS, FinishedJob

from promptforge.client.verify import verify

Spoiler = Callable[[FinishedJob, Callable[[int], int]], Iterator[str]]


def _rows(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _some_file(bundle: FinishedJob, pick: Callable[[int], int]) -> tuple[Path, list[bytes]]:
    files = [*bundle.parts(), bundle.folder / ERRORS]
    path = files[pick(len(files))]
    return path, _rows(path)


def lose_a_line(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, rows = _some_file(bundle, pick)
    rows.pop(pick(len(rows)))
    path.write_bytes(b"".join(rows))
    yield "missing: line "


def double_a_line(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, rows = _some_file(bundle, pick)
    target, others = _some_file(bundle, pick)
    if (path.name == ERRORS) != (target.name == ERRORS):
        target, others = path, rows
    others.insert(pick(len(others)), rows[pick(len(rows))])
    target.write_bytes(b"".join(others))
    yield "duplicate: line "


def swap_two_lines(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, rows = _some_file(bundle, pick)
    at = pick(len(rows) - 1)
    rows[at], rows[at + 1] = rows[at + 1], rows[at]
    path.write_bytes(b"".join(rows))
    yield "out of order: line "


def answer_a_stranger(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path = bundle.parts()[pick(len(bundle.parts()))]
    rows = _rows(path)
    at = pick(len(rows))
    rows[at] = orjson.dumps(orjson.loads(rows[at]) | {"prompt_id": "stranger"}) + b"\n"
    path.write_bytes(b"".join(rows))
    yield 'unexpected: "stranger"'
    yield "missing: line "


def blame_a_line_that_is_not_there(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path = bundle.folder / ERRORS
    rows, line = _rows(path), (1, 42, 10_000)[pick(3)]  # blank lines, and no lines
    at = pick(len(rows))
    rows[at] = orjson.dumps(orjson.loads(rows[at]) | {"line": line}) + b"\n"
    path.write_bytes(b"".join(rows))
    yield f"unexpected: line {line}, "
    yield "missing: line "


def answer_what_has_an_error(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path = bundle.folder / ERRORS
    (line,) = [n for n, row in enumerate(CONTENT.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1) if b'"id-7"' in row]
    row = {"prompt_id": "id-7", "error": "provider_error", "message": "m.", "attempts": 1, "line": line}
    rows = _rows(path)
    rows.insert(pick(1), orjson.dumps(row) + b"\n")
    path.write_bytes(b"".join(rows))
    yield f'duplicate: line {line}, "id-7"'


def exchange_two_files(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    at = pick(len(bundle.parts()) - 1)
    one, other = bundle.parts()[at : at + 2]
    contents = other.read_bytes(), one.read_bytes()
    one.write_bytes(contents[0])
    other.write_bytes(contents[1])
    yield "out of order: line "


def drop_a_whole_file(bundle: FinishedJob, pick: Callable[[int], int]) -> Iterator[str]:
    path, _ = _some_file(bundle, pick)
    path.write_bytes(b"")
    yield "missing: line "


SPOILERS: list[Spoiler] = [
    lose_a_line,
    double_a_line,
    swap_two_lines,
    answer_a_stranger,
    blame_a_line_that_is_not_there,
    answer_what_has_an_error,
    exchange_two_files,
    drop_a_whole_file,
]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(spoil=st.sampled_from(SPOILERS), sealed=st.booleans(), data=st.data())
def test_whatever_was_done_to_the_lines_is_named(
    good: FinishedJob, spoil: Spoiler, sealed: bool, data: st.DataObject
) -> None:
    def pick(count: int) -> int:
        return data.draw(st.integers(0, count - 1))

    with tempfile.TemporaryDirectory() as folder:
        bundle = good.copied(Path(folder) / "copy")
        expected = list(spoil(bundle, pick))
        if sealed:
            bundle.seal()
        faults = verify(bundle.file, bundle.folder).faults

    for sentence in expected:
        assert any(sentence in fault for fault in faults), faults
    if not sealed:
        assert any("was changed" in fault for fault in faults)


@pytest.mark.parametrize("name", ["results_part_001.jsonl", ERRORS])
@pytest.mark.parametrize(
    "nonsense",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b'{"prompt_id": 5, "line": 7}\n',
        b'{"prompt_id": null, "line": true}\n',
        b'{"prompt_id": null, "line": 0}\n',
        b'{"prompt_id": null, "line": 1e40}\n',
        b'{"prompt_id": null, "line": 9223372036854775808}\n',
    ],
)
def test_a_line_that_makes_no_sense_is_named_by_its_place(copy: FinishedJob, name: str, nonsense: bytes) -> None:
    path = copy.folder / name
    rows = _rows(path)
    path.write_bytes(b"".join([*rows[:3], nonsense, *rows[3:]]))

    assert f"{path} line 4 is not a valid result line" in verify(copy.file, copy.folder).faults
