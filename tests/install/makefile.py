"""The commands with which the Makefile installs lock files."""

import shlex
import subprocess
from pathlib import Path

from infra.package import ROOT

_MAKE = ("make", "--dry-run", "--always-make", "setup", "setup-gcp", "lint", "check-infra", "docs")


def install_commands(environment: Path) -> dict[str, list[str]]:
    """Return the command for each lock file that the Makefile installs, into the given environment."""
    stamps = (f"CHECKOV={environment}/.checkov-complete", f"DOCS={environment}/.docs-complete")
    places = (f"VENV={environment}", *stamps)
    printed = subprocess.run([*_MAKE, *places], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = [shlex.split(line) for line in printed.splitlines() if " -r requirements/" in line]
    return {command[-1]: command for command in commands}
