"""A finished job brought home: its input, its folder of results, and a manifest that can be made to fit again."""

import base64
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from tests.harness.in_process import InProcessStack, Line, parse_lines, prompts

MANIFEST = "manifest.json"
ERRORS = "errors.jsonl"

UNUSUAL_IDS = ["a\nb", "\u0000", "é" * 512, "=cmd()", "line 3", "null", " "]
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
    """What a user has on disk when a job is done."""

    file: Path
    folder: Path

    def parts(self) -> list[Path]:
        """The files with results."""
        return sorted(self.folder.glob("results_part_*.jsonl"))

    def manifest(self) -> Line:
        """The manifest, parsed."""
        parsed: Line = orjson.loads((self.folder / MANIFEST).read_bytes())
        return parsed

    def write_manifest(self, manifest: Line) -> None:
        """Put another manifest in its place."""
        (self.folder / MANIFEST).write_bytes(orjson.dumps(manifest))

    def copy_to(self, target: Path) -> "FinishedJob":
        """The same in another folder, to be spoiled."""
        shutil.copytree(self.file.parent, target, ignore=shutil.ignore_patterns("data"))
        return FinishedJob(target / self.file.name, target / self.folder.name)

    def update_manifest(self) -> None:
        """Make the manifest fit the files as they are now, as a service would that lost or doubled a line."""
        entries = [file_entry(path) for path in (*self.parts(), self.folder / ERRORS)]
        counts = [entry["lines"] for entry in entries]
        said = {"completed_count": sum(counts[:-1]), "failed_count": counts[-1], "files": entries}
        self.write_manifest(self.manifest() | said)


async def download_finished_job(one: InProcessStack, job_id: str, content: bytes, target: Path) -> FinishedJob:
    """Download everything a job has into a new folder beside its input."""
    folder = target / "results"
    folder.mkdir(parents=True)
    for name, data in (await one.files(job_id)).items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_bytes(await download_manifest(one, job_id))
    (target / "input.jsonl").write_bytes(content)
    return FinishedJob(target / "input.jsonl", folder)


async def download_manifest(one: InProcessStack, job_id: str) -> bytes:
    """The manifest's bytes, through its signed URL."""
    reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
    answer: httpx.Response = await one.http.get(reply.json()["manifest"]["url"])
    assert answer.status_code == 200
    return answer.content


def file_entry(path: Path) -> Line:
    """A file as a manifest should describe it, computed here and without the product's code."""
    content = path.read_bytes()
    return {
        "filename": path.name,
        "lines": len(parse_lines(content)),
        "bytes": len(content),
        "crc32c": crc32c(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def crc32c(content: bytes) -> str:
    """Castagnoli's checksum by its definition, bit by bit, as Cloud Storage writes it."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return base64.b64encode((value ^ 0xFFFFFFFF).to_bytes(4)).decode()
