"""manifest.json: what a finished job read and what it wrote, so that anyone can check the one against the other."""

from typing import Literal

from promptforge.domain.frozen import Frozen

MANIFEST_FILE = "manifest.json"
ERRORS_FILE = "errors.jsonl"


def part_file(number: int) -> str:
    """Return the name of a file of results. The first is number 1."""
    return f"results_part_{number:03d}.jsonl"


def result_files(parts: int) -> list[str]:
    """The names of a finished job's files, its manifest left out."""
    return [part_file(number) for number in range(1, parts + 1)] + [ERRORS_FILE]


class InputEntry(Frozen):
    """The upload as it was pinned. `crc32c` is base64 of the big-endian checksum; a line over `max_line_bytes` could
    not be read."""

    name: str
    generation: int
    size: int
    crc32c: str
    max_line_bytes: int


class FileEntry(Frozen):
    """A published file: its lines and bytes as they were counted in it, crc32c as above, sha256 in hex."""

    filename: str
    lines: int
    bytes: int
    crc32c: str
    sha256: str


class Manifest(Frozen):
    """The whole account. When nothing was lost, prompt_count = completed_count + failed_count = the files' lines."""

    version: Literal[1] = 1
    job_id: str
    provider: str
    model: str
    input: InputEntry
    prompt_count: int
    completed_count: int
    failed_count: int
    files: list[FileEntry]
