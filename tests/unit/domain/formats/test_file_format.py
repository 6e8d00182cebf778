"""Files of another format are named; a file whose first line is valid never is."""

import csv
import gzip
import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.formats.file_format import HEAD_BYTES, file_error
from promptforge.domain.formats.lines import BOM
from promptforge.domain.formats.native import Prompt, is_blank, parse_line
from promptforge.domain.job import JobError
from tests.corpus.test_corpus import CASES

ROWS = [{"prompt_id": f"p{number}", "prompt": f"Question {number}: why, and how?"} for number in range(3)]
MANY = [{"prompt_id": f"p{number}", "prompt": f"Question {number}: why, and how?"} for number in range(5000)]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)


def error_of(content: bytes) -> JobError | None:
    return file_error(content[:HEAD_BYTES], complete=len(content) <= HEAD_BYTES)


def table(rows: list[dict[str, str]], delimiter: str) -> bytes:
    target = io.StringIO()
    writer = csv.DictWriter(target, ["prompt_id", "prompt"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return target.getvalue().encode()


def archive(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("[Content_Types].xml", "<Types/>")
        zipped.writestr(name, TEXT)
    return target.getvalue()


def pretty(rows: list[dict[str, str]]) -> bytes:
    return "\n".join(json.dumps(row, indent=2) for row in rows).encode()


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (gzip.compress(TEXT.encode()), "unsupported_encoding", "gzip"),
        (archive("prompts.jsonl"), "unsupported_format", "ZIP archive"),
        (archive("xl/workbook.xml"), "unsupported_format", "Excel workbook (XLSX)"),
        (b"%PDF-1.4\n", "unsupported_format", "PDF"),
        *((TEXT.encode(f"utf-16{order}"), "unsupported_encoding", "UTF-16") for order in ("", "-le", "-be")),
        *((TEXT.encode(f"utf-32{order}"), "unsupported_encoding", "UTF-32") for order in ("", "-le", "-be")),
        *((json.dumps(rows).encode(), "unsupported_format", "JSON array") for rows in (ROWS, MANY)),
        *((json.dumps(rows, indent=2).encode(), "unsupported_format", "JSON array") for rows in (ROWS, MANY)),
        *((BOM + json.dumps(rows, indent=0).encode(), "unsupported_format", "JSON array") for rows in (ROWS, MANY)),
        *((pretty(rows), "unsupported_format", "JSON over several lines") for rows in (ROWS[:1], ROWS, MANY)),
        *((table(rows, ","), "unsupported_format", "CSV") for rows in (ROWS, MANY)),
        *((table(rows, "\t"), "unsupported_format", "TSV") for rows in (ROWS, MANY)),
        (table(ROWS, ";"), "unsupported_format", "CSV"),
        (b"\n\n" + table(ROWS, ","), "unsupported_format", "CSV"),
    ],
)
def test_file_error_other_format_is_named(content: bytes, code: str, words: str) -> None:
    error = error_of(content)

    assert error is not None
    assert (error.code, words in error.message) == (code, True)
    assert "Question" not in error.message


first_lines = st.fixed_dictionaries(
    {"prompt_id": st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)},
    optional={"note": st.text(st.characters(codec="utf-8")), "metadata": st.just({"a": [1]})},
).map(lambda fields: json.dumps({**fields, "prompt": "x"}, ensure_ascii=False).encode())
FRAGMENTS = [
    b"[",
    b"{",
    b"]",
    b"}",
    b'"a",',
    b"prompt,prompt_id\n",
    b"PK\x03\x04",
    b"\n",
    b"\x00",
    b'{"prompt_id": 1, "prompt": "x"}',
]
rests = st.binary(max_size=80) | st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join)


@settings(deadline=None)
@given(st.sampled_from([b"", BOM, b"\n \r\n", b"  "]), first_lines, rests, st.booleans())
def test_file_error_valid_first_line_is_never_rejected(before: bytes, line: bytes, rest: bytes, complete: bool) -> None:
    assert file_error(before + line + b"\n" + rest, complete) is None
    assert file_error(before + line, complete) is None


@pytest.mark.parametrize("name", CASES)
def test_file_error_corpus_file_with_valid_first_line_is_never_rejected(name: str) -> None:
    content = CASES[name].content.removeprefix(BOM)
    first = next((line for line in content.split(b"\n") if not is_blank(line)), b"")
    error = error_of(CASES[name].content)

    if isinstance(parse_line(first), Prompt):
        assert error is None
        assert file_error(content[: content.index(first) + len(first)], complete=False) is None
    assert (error.code if error else "") == (CASES[name].job_error if error else "")


@settings(deadline=None)
@given(st.binary(max_size=200) | rests, st.booleans())
def test_file_error_any_bytes_return_a_code_or_none(content: bytes, complete: bool) -> None:
    error = file_error(content, complete)

    assert error is None or error.code in ("unsupported_encoding", "unsupported_format")


def test_file_error_first_line_longer_than_head_is_not_rejected() -> None:
    line = json.dumps({"prompt_id": "a", "prompt": "x" * HEAD_BYTES}).encode()

    assert error_of(line + b"\n" + line) is None
