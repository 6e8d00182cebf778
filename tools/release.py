"""Build a release: wheel, sdist, notes from CHANGELOG.md, and an annotated tag.

`make release` runs it. A release requires a clean tree, a section of the version in the changelog, and a new tag. The
version is the one in `promptforge.__version__`.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from promptforge import __version__

CHANGELOG = Path("CHANGELOG.md")
DIST = Path("dist")
NOTES = DIST / "NOTES.md"


class ReleaseError(Exception):
    """A requirement of a release is not met."""


def notes(changelog: str, version: str) -> str:
    """Return the section of a version.

    Raises ReleaseError if it is missing or empty, and if unreleased entries remain.
    """
    if _section(changelog, r"\[Unreleased\]"):
        raise ReleaseError("CHANGELOG.md has entries under Unreleased. Move them to the section of the version.")
    text = _section(changelog, rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d")
    if not text:
        raise ReleaseError(f"CHANGELOG.md requires a section '## [{version}] - YYYY-MM-DD' with its changes.")
    return text + "\n"


def _section(changelog: str, heading: str) -> str:
    match = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return match[1].strip() if match else ""


def check_tree(tag: str) -> None:
    """Raise ReleaseError for uncommitted files and for an existing tag."""
    if _git("status", "--porcelain"):
        raise ReleaseError("The tree has uncommitted files. Commit or remove them.")
    if _git("tag", "--list", tag):
        raise ReleaseError(f"The tag {tag} exists. Change the version in shared/promptforge/__init__.py.")


def release(version: str) -> None:
    """Check, build, write the notes and tag, in this order."""
    tag = f"v{version}"
    check_tree(tag)
    text = notes(CHANGELOG.read_text(encoding="utf-8"), version)
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--directory", str(DIST)], check=True)
    NOTES.write_text(text, encoding="utf-8")
    _git("tag", "--annotate", tag, "--message", f"PromptForge {version}", "--message", text)
    built = ", ".join(sorted(file.name for file in DIST.iterdir()))
    print(f"{tag}: {built}. Publish with: git push origin {tag}")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Release the current version; print the reason if that is impossible."""
    try:
        release(__version__)
    except ReleaseError as exc:
        print(f"release: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
