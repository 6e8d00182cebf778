"""Every error code, setting, command, option, route, field and decision has its entry."""

import json
import re
from collections.abc import Iterator

import click
import pytest
from tools.docs.schemas import Undocumented, describe, example
from tools.docs.settings import FROM_OTHER_VARIABLES, variable

from promptforge.cli.main import cli
from promptforge.domain.chunk import Chunk
from promptforge.domain.formats.params import PARAMS
from promptforge.domain.functions import FUNCTIONS
from promptforge.domain.job import TRANSITIONS
from promptforge.domain.providers import PROVIDERS
from promptforge.entrypoints.openapi import document
from promptforge.settings import GCP_REQUIRED, Settings
from tests.docs.codes import error_codes
from tests.docs.pages import ROOT, Page, committed_pages

PAGES = committed_pages()
ERRORS = PAGES["docs/errors.md"]
DECISIONS = sorted(name for name in PAGES if re.match(r"docs/decisions/\d", name))


def entries() -> dict[str, str]:
    """Return the text of each error code's entry."""
    parts = re.split(r"^### (\w+)$", ERRORS.text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_errors_page_lists_exactly_the_codes_of_the_product() -> None:
    assert set(entries()) == error_codes()


@pytest.mark.parametrize("code", sorted(entries()))
def test_error_entry_has_a_place_a_meaning_and_a_remedy(code: str) -> None:
    assert re.match(r"\n\n\*Appears in: [\w ,]+\.\*\n\n\S[^*]+\s\*\*Remedy:\*\*\s\S", entries()[code])


def test_error_entries_of_the_api_name_the_api() -> None:
    calls = [call for path in document()["paths"].values() for call in path.values()]
    contents = [reply.get("content", {}) for call in calls for reply in call["responses"].values()]
    problems = [each["application/problem+json"]["schema"] for each in contents if "application/problem+json" in each]
    codes = {code for problem in problems for code in problem["properties"]["code"]["enum"]}

    assert len(codes) > 20
    assert [code for code in sorted(codes) if "API" not in entries()[code].split(".*")[0]] == []


def test_configuration_lists_every_setting_with_its_default(reference: dict[str, Page]) -> None:
    rows = _rows(reference["docs/reference/configuration.md"])

    for name, field in Settings.model_fields.items():
        if name not in FROM_OTHER_VARIABLES:
            default = rows[f"`{variable(name)}`"][0]
            assert default in ("", f"`{field.default}`", f"`{json.dumps(field.default, default=str)}`")


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("page", ["docs/reference/configuration.md", "docs/google-cloud.md"])
def test_page_lists_the_settings_that_functions_require(page: str, reference: dict[str, Page]) -> None:
    text = {**PAGES, **reference}[page].text
    required = {*GCP_REQUIRED, *(name for function in FUNCTIONS.values() for name in function.required_settings)}

    assert [name for name in sorted(required) if not re.search(rf"`(PROMPTFORGE_)?{name.upper()}`", text)] == []


@pytest.mark.parametrize("page", ["docs/reference/configuration.md", "docs/providers.md", "README.md"])
def test_provider_tables_list_every_provider(page: str, reference: dict[str, Page]) -> None:
    text = {**PAGES, **reference}[page].text

    for provider in PROVIDERS.values():
        if provider.key_variable:
            for value in (provider.name, provider.key_variable, provider.url_variable):
                assert f"`{value}`" in text


def test_command_page_lists_every_command_and_option(reference: dict[str, Page]) -> None:
    page = reference["docs/reference/command-line.md"]

    for name, command in _commands(cli, ""):
        section = page.text.split(f"## promptforge {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            assert f"`{parameter.opts[0]}`" in section or parameter.human_readable_name in section


def test_api_page_lists_every_route_and_field(reference: dict[str, Page]) -> None:
    page = reference["docs/reference/api.md"]

    for path, calls in document()["paths"].items():
        for method in calls:
            assert f"`{method.upper()} {path}`" in page.text
    for model, schema in document()["components"]["schemas"].items():
        for field in schema.get("properties", {}):
            assert f"| `{field}` |" in page.text, f"{model}.{field}"


def test_api_field_without_description_or_example_is_rejected() -> None:
    with pytest.raises(Undocumented):
        describe("Unknown", "new_field", {"type": "string"})
    with pytest.raises(Undocumented):
        example("Unknown", {"properties": {"new_field": {"type": "string"}}}, {})


def test_parameters_page_lists_every_parameter() -> None:
    for name in (*PARAMS, "model", "messages"):
        assert f"`{name}`" in PAGES["docs/parameters.md"].text


@pytest.mark.parametrize("page", ["docs/concepts.md", "docs/architecture.md"])
def test_job_diagrams_show_the_transitions_of_the_product(page: str) -> None:
    (diagram,) = [block.text for block in PAGES[page].blocks if "AWAITING_UPLOAD -->" in block.text]
    drawn = set(re.findall(r"^\s*([A-Z_]+) --> ([A-Z_]+)", diagram, re.MULTILINE))

    assert drawn == {(before.value, after.value) for before, afters in TRANSITIONS.items() for after in afters}


def test_chunk_fields_in_the_architecture_exist() -> None:
    named = {"open", "holder", "due_at", "resume_at"}

    assert named <= set(Chunk.model_fields)
    assert all(f"`{name}`" in PAGES["docs/architecture.md"].text for name in named)


@pytest.mark.parametrize("name", DECISIONS)
def test_decision_has_a_number_and_its_sections(name: str) -> None:
    page, number = PAGES[name], DECISIONS.index(name) + 1

    assert name.startswith(f"docs/decisions/{number:04d}-")
    assert page.text.startswith(f"# {number}. ")
    assert re.findall(r"^## (.+)$", page.text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert f"({name.rpartition('/')[2]})" in PAGES["docs/decisions/index.md"].text


def test_navigation_of_the_site_lists_every_page(reference: dict[str, Page]) -> None:
    listed = set(re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text()))
    pages = {name.removeprefix("docs/") for name in (*PAGES, *reference) if name.startswith("docs/")}

    assert listed == pages


def _rows(page: Page) -> dict[str, list[str]]:
    rows = [re.split(r" (?<!\\)\| ", f"{line[2:]} ") for line in page.text.splitlines() if line.startswith("| `")]
    return {row[0]: [cell.strip() for cell in row[1:]] for row in rows}


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for child, each in command.commands.items():
            yield from _commands(each, f"{name} {child}".strip())
    else:
        yield name, command
