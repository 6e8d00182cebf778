"""Files that are no JSONL at all, recognized by their first bytes.

A file is rejected only if its head fits another format and no valid line comes before the decision. So a file whose
first line is valid is never rejected, whatever follows it.
"""

import csv
import re

import orjson

from promptforge.domain.formats.lines import BOM
from promptforge.domain.formats.native import Prompt, is_blank, parse_line
from promptforge.domain.job import JobError

HEAD_BYTES = 64 * 1024
PLAIN = "Upload the plain JSONL text."
EXPORT = "Export it as JSONL."
EXTRACT = "Extract it and upload the JSONL file."
ZIP = "a ZIP archive"

BZIP2 = tuple(b"BZh%d1AY&SY" % level for level in range(1, 10))
COMPRESSIONS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (BZIP2, "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "LZ4"),
)
OTHER_FORMATS = (
    (b"PK\x03\x04", ZIP, EXTRACT),
    (b"PK\x05\x06", "an empty ZIP archive", PLAIN),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", EXTRACT),
    (b"Rar!\x1a\x07", "a RAR archive", EXTRACT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document such as XLS", EXPORT),
    (b"%PDF-", "a PDF document", PLAIN),
    (b"PAR1\x15", "a Parquet file", EXPORT),
    (b"SQLite format 3\x00", "an SQLite database", "Export its rows as JSONL."),
)
"""The first bytes of other formats with the name and the remedy; none can begin a valid line."""

WIDE_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
WIDE_PATTERNS = {(1, 0, 0, 0) * 2: "UTF-32", (0, 0, 0, 1) * 2: "UTF-32", (1, 0) * 2: "UTF-16", (0, 1) * 2: "UTF-16"}
"""Which of the first bytes are not zero if the text begins with ASCII characters, as JSON and CSV do."""

ARRAY = "The file is a JSON array. Write one object per line, for example with `jq -c '.[]'`."
SEVERAL_LINES = "The file is JSON over several lines. Write each object on one line, for example with `jq -c .`."

DELIMITERS = {",": "CSV", "\t": "TSV", ";": "CSV", "|": "CSV"}
COLUMN = re.compile(r"[\w\ufffd]+([ ./#-][\w\ufffd]+){0,3}")
PROMPT_COLUMNS = frozenset({"prompt", "prompt_id"})


def file_error(head: bytes, complete: bool) -> JobError | None:
    """Return why the whole file is rejected, or None.

    `head` holds the first HEAD_BYTES bytes, or all bytes of a `complete` file.
    """
    if error := _signature_error(head):
        return error
    text = head.removeprefix(BOM)
    lines = [line.strip() for line in text.split(b"\n") if not is_blank(line)]
    valid = next((position for position, line in enumerate(lines) if isinstance(parse_line(line), Prompt)), None)
    if not lines or valid == 0:
        return None
    if valid is None and (encoding := _wide_encoding(head)):
        return _encoding_error(f"The file is encoded in {encoding}. Save it as UTF-8 and upload it again.")
    message = _json_message(text, complete) or _json_lines_message(lines[:valid], valid is None)
    if message is None and valid is None:
        message = _table_message(text, complete)
    return _format_error(message) if message else None


def _signature_error(head: bytes) -> JobError | None:
    for signature, name in COMPRESSIONS:
        if head.startswith(signature):
            return _encoding_error(f"The file is compressed with {name}. {PLAIN}")
    for signature, name, remedy in OTHER_FORMATS:
        if head.startswith(signature):
            is_workbook = name == ZIP and b"xl/" in head
            return _format_error(
                f"The file is an Excel workbook (XLSX). {EXPORT}" if is_workbook else f"The file is {name}. {remedy}"
            )
    return None


def _encoding_error(message: str) -> JobError:
    return JobError(code="unsupported_encoding", message=message)


def _format_error(message: str) -> JobError:
    return JobError(code="unsupported_format", message=message)


def _wide_encoding(head: bytes) -> str | None:
    """Return the encoding of a text in units of two or four bytes, with or without a byte order mark."""
    for mark, name in WIDE_MARKS.items():
        if head.startswith(mark) and b"\x00" in head[len(mark) :]:
            return name
    for pattern, name in WIDE_PATTERNS.items():
        if tuple(int(byte != 0) for byte in head[: len(pattern)]) == pattern:
            return name
    return None


def _json_message(text: bytes, complete: bool) -> str | None:
    """Return the message of a complete file that is one JSON value, other than an object on one line."""
    if complete and _is_json(text):
        if text.lstrip().startswith(b"["):
            return ARRAY
        if b"\n" in text.strip():
            return SEVERAL_LINES
    return None


def _json_lines_message(lines: list[bytes], whole_head: bool) -> str | None:
    """Return the message of invalid first lines that begin an array or an object over several lines.

    `whole_head` is true if no valid line follows them in the head.
    """
    first, second = lines[0], lines[1] if len(lines) > 1 else b""
    if first.startswith(b"["):
        begins = first[1:].lstrip()[:1] in (b"", b"{")
        continues = second.startswith((b"{", b'"')) if second else whole_head and first != b"["
        return ARRAY if begins and continues else None
    opens = first.startswith(b"{") and first.endswith((b"{", b"[", b",")) and not _is_json(first)
    return SEVERAL_LINES if opens and second.startswith(b'"') else None


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def _table_message(text: bytes, complete: bool) -> str | None:
    """Return the message of a table in text form.

    Its first record holds names of columns: one for the prompts, or as many as each further record has fields.
    """
    rows = text.decode(errors="replace").splitlines(keepends=True)
    for delimiter, name in DELIMITERS.items():
        try:
            records = [record for record in csv.reader(rows, delimiter=delimiter) if record]
        except csv.Error:
            continue
        header = [column.strip().casefold() for column in records[0]]
        if len(set(header)) == len(header) and all(map(COLUMN.fullmatch, header)):
            body = records[1:] if complete else records[1:-1]
            regular = len(header) > 1 and bool(body) and all(len(record) == len(header) for record in body)
            if regular or PROMPT_COLUMNS.intersection(header):
                return f"The file looks like {name}. Convert it to JSONL: one JSON object per line."
    return None
