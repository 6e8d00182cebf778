"""What the start of a function imports: what only some requests need is imported by them."""

import os
import subprocess
import sys

import pytest
from benchmarks.cold_start import ENVIRON
from infra.package import REQUIREMENTS, ROOT

STARTED = """
import os, sys
import main
from promptforge.bootstrap import build
from promptforge.settings import Settings
build(Settings.from_env(os.environ))
print(*sys.modules)
"""

LATER = {
    "aiohttp",
    "google.cloud.pubsub_v1",
    "google.cloud.storage",
    "google.cloud.tasks_v2",
    "google.pubsub_v1",
    "jsonschema_rs",
    "promptforge.adapters.llm",
    "promptforge.adapters.local",
    "promptforge.entrypoints.openapi",
    "sqlite3",
}
"""What no function imports before a request needs it."""


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_a_function_starts_without_what_only_some_requests_need(name: str) -> None:
    path = os.pathsep.join((str(ROOT / "functions" / name), str(ROOT / "shared")))
    environ = {**os.environ, **ENVIRON, "FUNCTION_TARGET": name, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", STARTED], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "google.cloud.firestore_v1" in loaded
    assert not LATER & loaded
