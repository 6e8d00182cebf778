"""A finished job on the disk of a user: its input, its folder of result files, and its manifest."""

import base64
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from tests.harness.in_process import InProcessStack
from tests.harness.lines import Line, parse_lines, prompts

MANIFEST = "manifest.json"
ERRORS = "errors.jsonl"

UNUSUAL_IDS = ["a\nb", "\u0000", "é" * 512, "=cmd()", "line 3", "null", " ", 7, -(2**63)]
CONTENT = (
    b"\xef\xbb\xbf\r\n"
    + prompts(40)
    + b"  \t\nnot json\n[]\n"
    + b"".join(orjson.dumps({"prompt_id": name, "prompt": "p"}) + b"\r\n" for name in UNUSUAL_IDS)
    + prompts(3, first=38)
    + b'{"prompt_id": "no prompt"}\n{"prompt_id": "x", "prompt": "'
    + b"x" * 3000
    + b'"}\n\xff\n'
    + prompts(8, first=50).rstrip()
)
VALID_COUNT, INVALID_COUNT = 40 + len(UNUSUAL_IDS) + 1 + 8, 2 + 2 + 3


@dataclass(frozen=True)
class FinishedJob:
    """The input and the folder of the result files."""

    file: Path
    folder: Path

    def parts(self) -> list[Path]:
        """Return the files with results."""
        return sorted(self.folder.glob("results_part_*.jsonl"))

    def manifest(self) -> Line:
        """Return the parsed manifest."""
        parsed: Line = orjson.loads((self.folder / MANIFEST).read_bytes())
        return parsed

    def write_manifest(self, manifest: Line) -> None:
        """Replace the manifest."""
        (self.folder / MANIFEST).write_bytes(orjson.dumps(manifest))

    def copy_to(self, target: Path) -> "FinishedJob":
        """Return a copy in another folder, which a test may damage."""
        shutil.copytree(self.file.parent, target, ignore=shutil.ignore_patterns("data"))
        return FinishedJob(target / self.file.name, target / self.folder.name)

    def update_manifest(self) -> None:
        """Make the manifest match the current files, as a service that loses or duplicates a line would write it."""
        entries = [file_entry(path) for path in (*self.parts(), self.folder / ERRORS)]
        counts = [entry["lines"] for entry in entries]
        fields = {"completed_count": sum(counts[:-1]), "failed_count": counts[-1], "files": entries}
        self.write_manifest(self.manifest() | fields)


async def download_finished_job(stack: InProcessStack, job_id: str, content: bytes, target: Path) -> FinishedJob:
    """Write the input of a job, its result files and its manifest into a folder."""
    folder = target / "results"
    folder.mkdir(parents=True)
    for name, data in (await stack.files(job_id)).items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_bytes(await download_manifest(stack, job_id))
    (target / "input.jsonl").write_bytes(content)
    return FinishedJob(target / "input.jsonl", folder)


async def download_manifest(stack: InProcessStack, job_id: str) -> bytes:
    """Return the bytes of the manifest, by its signed URL."""
    results = await stack.http.get(f"/v1/jobs/{job_id}/results", headers=stack.headers)
    response: httpx.Response = await stack.http.get(results.json()["manifest"]["url"])
    assert response.status_code == 200
    return response.content


def file_entry(path: Path) -> Line:
    """Return the entry of a file in a manifest, computed without the code of the product."""
    content = path.read_bytes()
    return {
        "filename": path.name,
        "lines": len(parse_lines(content)),
        "bytes": len(content),
        "crc32c": crc32c(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def crc32c(content: bytes) -> str:
    """Return Castagnoli's checksum in the format of Cloud Storage, computed bit by bit from its definition."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return base64.b64encode((value ^ 0xFFFFFFFF).to_bytes(4)).decode()
