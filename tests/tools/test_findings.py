"""The checks read tracked and new files, print what they find and tell it by their exit code."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.findings import Finding, run
from tools.sources import find_sources


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/tracked.py", "a/new.tf", "b/Makefile", "Makefile", "b/ignored.py", "b/data.json", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "a/tracked.py"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(path: str, source: str) -> Iterator[Finding]:
    if path.startswith("a"):
        yield Finding(path, 3, "rule", source.strip())


def test_find_sources_lists_tracked_and_new_files_by_glob(repository: Path) -> None:
    assert find_sources(repository) == ["Makefile", "README.md", "a/new.tf", "a/tracked.py"]
    assert find_sources(repository, ["a/tracked.py", "b"]) == ["a/tracked.py"]
    assert find_sources(repository, globs=["*.md"]) == ["README.md"]


def test_run_with_findings_prints_them_and_returns_1(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(check, "", arguments=[]) == 1
    assert capsys.readouterr().out == "a/new.tf:3: rule: a/new.tf\na/tracked.py:3: rule: a/tracked.py\n"
    assert run(check, "", arguments=["--count", "a"]) == 1
    assert capsys.readouterr().out == "    2 rule in a\n"


def test_run_without_findings_returns_0(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(check, "", arguments=["Makefile"]) == 0
    assert capsys.readouterr().out == "no findings in 1 files\n"
