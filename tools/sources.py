"""The files that the checks of prose and words read."""

import subprocess
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

GLOBS = (
    "*.md",
    "*.py",
    "*.sh",
    "*.sql",
    "*.tf",
    "*.tfvars.example",
    "*.toml",
    "*.yaml",
    "*.yml",
    ".ci/*",
    "Makefile",
)


def find_sources(root: Path, paths: Sequence[str] = (), globs: Sequence[str] = GLOBS) -> list[str]:
    """List the files below the paths that match a glob, relative to the root.

    Untracked files are listed too, so that a new file is checked before its first commit. Ignored files are not.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *paths]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    names = sorted(set(filter(None, listed.split("\0"))))
    return [name for name in names if any(fnmatch(name, glob) for glob in globs) and (root / name).is_file()]
