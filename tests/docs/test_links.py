"""Every link, and every file, make target and environment variable that a page names, exists."""

import posixpath
import re

import pytest

from promptforge.settings import PLATFORM_VARIABLES, Settings
from tests.docs.pages import ROOT, Page, committed_pages

PAGES = committed_pages()
PATHS = re.compile(r"`((?:docs|examples|infra|shared|tests|tools|benchmarks|requirements)/[\w./-]+)`")
TARGETS = re.compile(r"\bmake ([a-z][a-z-]*)")
SETTINGS = re.compile(r"\bPROMPTFORGE_([A-Z_]+)\b")
NOT_SETTINGS = {"API_KEY", "OTHER_API_KEY", "EXAMPLES"}
NOT_COMMITTED = ("docs/reference/", "infra/env/")
"""Folders with files that a page may name although the repository does not contain them."""


def broken_links(pages: dict[str, Page]) -> list[str]:
    """Return every link to a missing file or heading, as `page: target`."""
    return [
        f"{name}: {target}"
        for name, page in pages.items()
        for target in page.links
        if "://" not in target and not _exists(name, target, pages)
    ]


def _exists(name: str, target: str, pages: dict[str, Page]) -> bool:
    path, _, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
    if path in pages:
        return not anchor or anchor in pages[path].anchors
    return not anchor and (ROOT / path).is_file()


def test_links_lead_to_existing_pages_and_headings(reference: dict[str, Page]) -> None:
    assert broken_links({**PAGES, **reference}) == []


def test_broken_links_are_found() -> None:
    pages = {
        "README.md": Page("README.md", "# T\n[a](docs/a.md) [b](docs/a.md#one) [c](docs/a.md#two) [d](docs/x.md)"),
        "docs/a.md": Page("docs/a.md", "# A\n## One\n[up](../README.md#t) [none](#none)"),
    }

    assert broken_links(pages) == ["README.md: docs/a.md#two", "README.md: docs/x.md", "docs/a.md: #none"]


def test_pages_outside_the_site_are_not_linked_from_the_site() -> None:
    for name, page in PAGES.items():
        if name.startswith("docs/"):
            assert not [target for target in page.links if target.startswith(("../../", "../R", "../S", "../C"))], name


@pytest.mark.parametrize("name", PAGES)
def test_files_that_a_page_names_exist(name: str) -> None:
    missing = [path for path in PATHS.findall(PAGES[name].text) if not (ROOT / path).exists()]

    assert [path for path in missing if not path.startswith(NOT_COMMITTED)] == []


@pytest.mark.parametrize("name", PAGES)
def test_make_targets_that_a_page_names_exist(name: str) -> None:
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"`[^`]+`|^.*$", "\n".join(block.text for block in PAGES[name].blocks), re.MULTILINE)
    spans = re.findall(r"`[^`\n]+`", PAGES[name].prose)

    assert {target for text in [*code, *spans] for target in TARGETS.findall(text)} <= known


@pytest.mark.parametrize("name", PAGES)
def test_settings_that_a_page_names_exist(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields if field not in PLATFORM_VARIABLES}

    assert set(SETTINGS.findall(PAGES[name].text)) - {""} <= known | NOT_SETTINGS
