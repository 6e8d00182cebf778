"""manifest.json: the input and the output of a finished job, so that a user can check one against the other."""

from typing import Literal

from promptforge.domain.model import Model

MANIFEST_FILE = "manifest.json"
ERRORS_FILE = "errors.jsonl"


def part_file(number: int) -> str:
    """Return the name of a file of results; the first is number 1."""
    return f"results_part_{number:03d}.jsonl"


def result_files(parts: int) -> list[str]:
    """Return the names of the files of a finished job, without the manifest."""
    return [part_file(number) for number in range(1, parts + 1)] + [ERRORS_FILE]


class InputEntry(Model):
    """The pinned input.

    `crc32c` is base64 of the big-endian checksum. A line over `max_line_bytes` is invalid.
    """

    name: str
    generation: int
    size: int
    crc32c: str
    max_line_bytes: int


class FileEntry(Model):
    """A published file: the counted lines and bytes, crc32c in base64 and sha256 in hex."""

    filename: str
    lines: int
    bytes: int
    crc32c: str
    sha256: str


class Manifest(Model):
    """The content of manifest.json.

    If no line is lost, prompt_count = completed_count + failed_count = the number of lines in the files.
    """

    version: Literal[1] = 1
    job_id: str
    provider: str
    model: str
    input: InputEntry
    prompt_count: int
    completed_count: int
    failed_count: int
    files: list[FileEntry]
