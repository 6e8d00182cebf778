"""`make release` builds and tags a clean tree, with the notes of the changelog."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools.release import ReleaseError, notes

from promptforge import __version__
from tests.docs.pages import ROOT

COPIED = ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "functions", "shared")
RELEASED = (
    f"# Changelog\n\n## [Unreleased]\n\n## [{__version__}] - 2026-01-02\n\n- One thing.\n\n## [0.0.1] - 2026-01-01\n"
)


def git(repository: Path, *arguments: str) -> str:
    """Run git with an identity; return its output."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the files that a build needs, and a changelog that is ready for a release."""
    folder = tmp_path / "repository"
    folder.mkdir()
    listed = subprocess.run(["git", "ls-files", *COPIED], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "CHANGELOG.md").write_text(RELEASED)
    (folder / ".gitignore").write_text("dist/\n")
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "Tester")
    git(folder, "config", "user.email", "tester@example.com")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Start")
    return folder


def release(repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of `make release` in the repository."""
    command = [sys.executable, str(ROOT / "tools/release.py")]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


def test_release_of_a_clean_tree_builds_and_tags(repository: Path) -> None:
    done = release(repository)

    assert done.returncode == 0, done.stderr
    assert sorted(file.suffix for file in (repository / "dist").iterdir()) == [".gz", ".md", ".whl"]
    assert (repository / "dist/NOTES.md").read_text() == "- One thing.\n"
    assert "- One thing." in git(repository, "tag", "--list", f"v{__version__}", "--format=%(contents)")


def test_release_of_a_dirty_tree_is_rejected(repository: Path) -> None:
    (repository / "new.txt").write_text("new")
    done = release(repository)

    assert (done.returncode, done.stderr) == (1, "release: The tree has uncommitted files. Commit or remove them.\n")
    assert not (repository / "dist").exists()
    assert git(repository, "tag") == ""


def test_release_of_a_tagged_version_is_rejected(repository: Path) -> None:
    git(repository, "tag", f"v{__version__}")

    assert f"The tag v{__version__} exists" in release(repository).stderr


def test_notes_of_an_unknown_version_are_rejected() -> None:
    with pytest.raises(ReleaseError, match="requires a section"):
        notes(RELEASED, "9.9.9")


def test_notes_with_unreleased_entries_are_rejected() -> None:
    with pytest.raises(ReleaseError, match="under Unreleased"):
        notes(RELEASED.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), __version__)


def test_changelog_has_the_current_version_and_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()

    assert f"\n## [{__version__}] - " in text
    assert "\n## [Unreleased]\n" in text
