"""The start of a function defers imports that only some requests need."""

import os
import subprocess
import sys

import pytest
from benchmarks.cold_start import ENVIRON
from infra.package import REQUIREMENTS, ROOT

START_SCRIPT = """
import os, sys
import main
from promptforge.bootstrap import build_context
from promptforge.settings import Settings
build_context(Settings.from_env(os.environ))
print(*sys.modules)
"""

DEFERRED = {
    "aiohttp",
    "google.cloud.pubsub_v1",
    "google.cloud.storage",
    "google.cloud.tasks_v2",
    "google.pubsub_v1",
    "jsonschema_rs",
    "promptforge.adapters.llm",
    "promptforge.adapters.local",
    "promptforge.entrypoints.openapi",
    "promptforge.entrypoints.routes",
    "sqlite3",
}
"""Modules that no function imports before a request needs them."""


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_function_start_defers_optional_imports(name: str) -> None:
    path = os.pathsep.join((str(ROOT / "functions" / name), str(ROOT / "shared")))
    environ = {**os.environ, **ENVIRON, "FUNCTION_TARGET": name, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", START_SCRIPT], env=environ, stdout=subprocess.PIPE, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "google.cloud.firestore_v1" in loaded
    assert not DEFERRED & loaded
