"""Every code block is run, or parsed, or has a reason why not."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page, committed_pages, is_runnable
from tests.docs.shell import run_page

PAGES = committed_pages()
RUNNABLE = [name for name, page in PAGES.items() if any(map(is_runnable, page.blocks))]
GENERATED = ["docs/reference/api.md", "docs/reference/command-line.md"]
LANGUAGES = {"console", "hcl", "json", "mermaid", "python", "sh", "text"}
MAX_PAGES_NOT_RUN = 4


@pytest.mark.parametrize("name", RUNNABLE)
async def test_page_commands_run_and_print_the_output_shown(name: str, folder: Path, base_url: str) -> None:
    for step in await run_page(PAGES[name], folder, base_url):
        step.check()


@pytest.mark.parametrize("name", GENERATED)
async def test_generated_page_commands_run(name: str, reference: dict[str, Page], folder: Path, base_url: str) -> None:
    assert await run_page(reference[name], folder, base_url)


def test_generated_pages_with_commands_are_listed(reference: dict[str, Page]) -> None:
    assert [name for name, page in reference.items() if any(map(is_runnable, page.blocks))] == GENERATED


@pytest.mark.parametrize("name", PAGES)
def test_page_blocks_have_a_known_language(name: str) -> None:
    assert {block.language for block in PAGES[name].blocks} <= LANGUAGES


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("docs/")])
def test_page_lists_contain_no_blocks_and_no_nested_lists(name: str) -> None:
    """The site's Markdown ends a list at a nested block or list that is indented by less than four spaces."""
    assert not re.findall(r"^ +(?:```|[-*] |\d+\. )", PAGES[name].text, re.MULTILINE)


def test_json_blocks_parse(reference: dict[str, Page]) -> None:
    blocks = [block for page in [*PAGES.values(), *reference.values()] for block in page.blocks]
    parsed = [_parse_json(block.text) for block in blocks if block.language == "json"]

    assert len(parsed) >= 15


def test_python_blocks_quote_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    blocks = [block.text for page in PAGES.values() for block in page.blocks if block.language == "python"]

    assert blocks
    assert [block for block in blocks if block not in tests] == []


def test_blocks_that_are_not_run_have_a_reason_and_valid_syntax() -> None:
    skipped = {name: [block for block in page.blocks if block.not_run] for name, page in PAGES.items()}
    pages = {name: blocks for name, blocks in skipped.items() if blocks}

    assert len(pages) <= MAX_PAGES_NOT_RUN
    for blocks in pages.values():
        for block in blocks:
            assert len(block.not_run.split()) >= 4
            if block.language == "sh":
                subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]
