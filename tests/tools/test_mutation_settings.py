"""The settings of `make mutate` name files and tests that exist: a path that moved would judge no mutant."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
DESELECT = "--deselect="


def test_mutation_settings_name_existing_modules() -> None:
    patterns = [path.replace("src/", "shared/", 1) for path in SETTINGS["only_mutate"]]

    assert [pattern for pattern in patterns if not any(ROOT.glob(pattern))] == []


def test_mutation_settings_name_existing_test_files() -> None:
    assert [path for path in SETTINGS["pytest_add_cli_args_test_selection"] if not (ROOT / path).exists()] == []


def test_mutation_settings_deselect_existing_tests_of_selected_files() -> None:
    arguments = SETTINGS["pytest_add_cli_args"]
    deselected = [argument.removeprefix(DESELECT) for argument in arguments if argument.startswith(DESELECT)]

    assert deselected
    for each in deselected:
        path, _, name = each.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert name in names, each
        selection = [Path(selected) for selected in SETTINGS["pytest_add_cli_args_test_selection"]]
        assert any(Path(path).is_relative_to(selected) for selected in selection), each
