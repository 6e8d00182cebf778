"""mypy accepts only fields of the document in a transition: a misspelt one would be lost, or written, unnoticed."""

from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
CORRECT = """\
from promptforge.domain.chunk import Chunk, ChunkChanges
from promptforge.domain.job import Job, JobChanges


def renew(chunk: Chunk, job: Job) -> None:
    chunk._changed(due_at=1.0, crash_count=2)
    job._changed(due_at=1.0, waiting=None)
    ChunkChanges(holder=None)
    JobChanges(prompt_count=1)
    chunk.released(resume_at=1.0, due_at=2.0, progressed=True)
"""
WRONG = {
    "dueat=1.0": ("due_at=1.0, crash", "dueat=1.0, crash"),
    'crash_count="two"': ("crash_count=2", 'crash_count="two"'),
    "waiting=1": ("waiting=None", "waiting=1"),
    "holder_=None": ("holder=None", "holder_=None"),
    'prompt_count="one"': ("prompt_count=1", 'prompt_count="one"'),
    "resume=1.0": ("resume_at=1.0", "resume=1.0"),
}
"""The wrong spelling of each field, and its place in the correct code."""


def check(path: Path) -> tuple[str, int]:
    """Return the report of mypy on a file, with the settings of the repository, and its exit status."""
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(path.parent / "cache")]
    output, _, status = api.run([*options, str(path)])
    return output, status


def test_typed_changes_accept_fields_and_reject_each_misspelt_or_mistyped_one(tmp_path: Path) -> None:
    correct, wrong = tmp_path / "correct.py", tmp_path / "wrong.py"
    correct.write_text(CORRECT)
    broken = CORRECT
    for right, spelling in WRONG.values():
        assert right in broken
        broken = broken.replace(right, spelling)
    wrong.write_text(broken)

    output, status = check(correct)
    assert status == 0, output
    output, status = check(wrong)
    assert status == 1
    lines = broken.splitlines()
    for spelling in WRONG:
        (number,) = [at for at, line in enumerate(lines, 1) if spelling in line]
        assert f"wrong.py:{number}: error" in output
