"""Each rule of prose catches its fault in each kind of file, and leaves good text alone."""

from pathlib import Path

import pytest
from tools.check_prose import check_source

LONG = "This sentence " + "goes on and " * 8 + "ends."
GOOD = '''"""Renew the lease.

Returns the time of its end; the answer has so far only whole seconds.
"""

LIMIT = 3  # a fourth process would exceed the quota


def renew(limit: int = LIMIT) -> str:
    """Renew it, e.g. `so many` times. """
    # The provider counts requests per minute.
    return f"The limit of {limit} requests is exceeded."
'''


def rules(path: str, source: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.rule) for finding in check_source(path, source)]


@pytest.mark.parametrize("path", ["shared/promptforge/a.py", "tests/a.py"])
def test_check_source_of_plain_english_finds_nothing(path: str) -> None:
    assert rules(path, GOOD) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("It is for who is there.", "clause"),
        ("It is for whoever comes.", "person"),
        ("It is a fault of our own.", "person"),
        ("The ones are to be read.", "clause"),
        ("There are so many of them.", "clause"),
        ("It must have the file moved.", "clause"),
        ("What is left is read.", "start"),
        ("Who knows it waits.", "start"),
        ("Have it read.", "start"),
        ("Returns: What is left.", "start"),
        (LONG, "length"),
    ],
)
def test_check_source_finds_each_rule_in_every_kind_of_prose(text: str, rule: str) -> None:
    assert rules("a.py", f'"""{text}"""') == [(1, rule)]
    assert rules("a.py", f'X = 1\n"""{text}"""') == [(2, rule)]
    assert rules("a.py", f"X = 1  # {text}") == [(1, rule)]
    assert rules("a.py", f"# First.\n# {text}") == [(2, rule)]
    assert rules("a/b.tf", f"x = 1\n# {text}") == [(2, rule)]
    assert rules("a/b.tf", f'  description = "{text}"') == [(1, rule)]
    assert rules("Makefile", f"all:  ## {text}") == [(1, rule)]
    assert rules("a.sh", f"run '# x' # {text}") == [(1, rule)]
    assert rules("a.sql", f"select 1;  -- {text}") == [(1, rule)]
    assert rules("README.md", f"# Title\n\n{text}") == [(3, rule)]


def test_check_source_finds_clauses_over_line_breaks() -> None:
    assert rules("a.py", "# The rows are\n# to be read.") == [(1, "clause")]


def test_check_source_limits_messages_of_the_product_only() -> None:
    source = 'raise E("What is this", f"for {x} who is here", "whoever", "all of whoever")'
    assert rules("shared/a.py", source) == [(1, "start"), (1, "clause"), (1, "person")]
    assert rules("tests/a.py", source) == []
    assert rules("functions/a.py", f'raise E("{LONG}")') == []


@pytest.mark.parametrize("docstring", ["Renew it", "Renew it. Twice.", "\nRenew it.", "Renew\nit."])
def test_check_source_requires_a_summary_line(docstring: str) -> None:
    for source in (f'"""{docstring}"""', f'class A:\n    """{docstring}"""', f'def f():\n    """{docstring}"""'):
        assert [rule for _, rule in rules("a.py", source)] == ["summary"]


def test_check_source_skips_directives_and_tables() -> None:
    assert rules("a.py", "import x  # noqa: F401 what is so much  # type: ignore[misc]") == []
    assert rules("a.tf", "# checkov:skip=CKV_1: a reason\n# checkov:skip=CKV_2: Have it read.") == [(2, "start")]
    assert rules("a.md", f"| a | {LONG} |\n|---|---|\n| b | What is it |") == [(3, "start")]


def test_check_source_of_the_glossary_finds_nothing() -> None:
    path = "docs/glossary.md"
    assert check_source(path, (Path(__file__).parents[2] / path).read_text(encoding="utf-8")) == []
