"""The table of functions."""

import subprocess
import sys
from pathlib import Path

import pytest

from promptforge.domain import functions
from promptforge.domain.functions import FUNCTIONS, Function
from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS
from promptforge.engine.push_requests import SUBSCRIPTIONS
from promptforge.settings import Settings

ROOT = Path(__file__).parents[2]


def test_function_table_runs_without_installed_packages() -> None:
    command = [sys.executable, "-I", "-S", str(functions.__file__)]

    assert subprocess.run(command, check=False).returncode == 0


def test_function_table_kinds_equal_routes_and_event_functions() -> None:
    kinds = {name: function.kind for name, function in FUNCTIONS.items()}

    assert kinds == dict.fromkeys(HTTP_FUNCTIONS.values(), "http") | dict.fromkeys(EVENT_FUNCTIONS, "event")


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_function_row_names_existing_settings_and_requirements(function: Function) -> None:
    assert set(function.required_settings) <= set(Settings.model_fields)
    assert (ROOT / "requirements" / "functions" / f"{function.dependencies}.txt").is_file()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_function_row_has_dispatch_deadline_if_it_has_a_queue(function: Function) -> None:
    queues = [source.name for source in function.sources if source.name.startswith("queue:")]

    assert queues == ([f"queue:{function.name}"] if function.dispatch_seconds else [])
    assert (function.kind == "event") == bool(function.sources)


def test_function_sources_each_have_one_receiver() -> None:
    assert len(SUBSCRIPTIONS) == sum(len(function.sources) for function in FUNCTIONS.values())
