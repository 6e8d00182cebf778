"""Documents and examples name no model that its provider has shut down or will shut down.

`model_shutdowns.json` holds the models, from the pages of the providers, with their shutdown dates. A variant such as
NAME-mini has the date of NAME unless it has a row of its own.
"""

import json
import re
import subprocess
from datetime import date
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

SHUTDOWNS: dict[str, str] = json.loads((Path(__file__).parent / "model_shutdowns.json").read_text())
NAMES = re.compile(
    rf"(?<![\w.-])({'|'.join(map(re.escape, sorted(SHUTDOWNS, key=len, reverse=True)))})(-[\w.-]*\w)?(?![\w-]|\.\w)"
)
FOLDERS = ("README.md", "CONTRIBUTING.md", "docs", "examples", "infra", "benchmarks", "shared", "tools")


def outdated_models(text: str) -> list[str]:
    """Return the models of the list that a text names."""
    return [f"{match[0]} ends {SHUTDOWNS[match[1]]}" for match in NAMES.finditer(text)]


def test_documents_and_examples_name_no_model_of_the_list() -> None:
    listed = subprocess.run(["git", "ls-files", "-z", *FOLDERS], cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / name.decode() for name in listed.split(b"\0") if name]

    found = [
        f"{file.relative_to(ROOT)}: {model}"
        for file in files
        if file.is_file()
        for model in outdated_models(file.read_text(encoding="utf-8", errors="replace"))
    ]

    assert len(files) > 100
    assert found == []


@pytest.mark.parametrize("day", SHUTDOWNS.values())
def test_shutdowns_are_dates(day: str) -> None:
    assert date.fromisoformat(day).isoformat() == day


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"model": "gpt-4o-mini"', ["gpt-4o-mini ends 2027-01-14"]),
        ("openai/gpt-4o = [1, 2]", ["gpt-4o ends 2027-01-14"]),
        ("gpt-4-turbo and o3-mini.", ["gpt-4-turbo ends 2026-10-23", "o3-mini ends 2026-10-23"]),
        ("gemini-2.5-flash-lite", ["gemini-2.5-flash-lite ends 2026-12-01"]),
        ("gpt-6-luna, gpt-5.6, gemini-3.8-flash, claude-haiku-5-5, mistral-small-latest", []),
        ("co1, foo3, pro3-mini, echo-1", []),
    ],
)
def test_outdated_models_finds_names_and_their_variants(text: str, expected: list[str]) -> None:
    assert outdated_models(text) == expected
