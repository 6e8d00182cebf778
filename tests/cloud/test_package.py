"""The archives of the functions, each with its own requirements only: they start and complete a job."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from infra.package import REQUIREMENTS

from promptforge.client.verify import verify
from tests.cloud.test_flow import run
from tests.fakes.provider import fake_provider
from tests.harness.cloud_stack import cloud_stack
from tests.harness.emulators import Firestore, Pubsub
from tests.harness.function_processes import ALL_FUNCTIONS, FunctionProcess, function_processes
from tests.harness.packaged_functions import PackagedFunction, install_functions

pytestmark = pytest.mark.cloud

A_NUMBER = {"type": "json_schema", "schema": {"type": "integer"}}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PackagedFunction]:
    return install_functions(tmp_path_factory.mktemp("packaged"))


def test_packaged_environments_do_not_contain_the_checkout(
    packaged: dict[str, PackagedFunction], tmp_path: Path
) -> None:
    for python in {function.python for function in packaged.values()}:
        found = subprocess.run([python, "-c", "import promptforge"], cwd=tmp_path, capture_output=True, check=False)
        assert b"No module named 'promptforge'" in found.stderr


async def test_packaged_functions_complete_a_job(
    tmp_path: Path, firestore: Firestore, pubsub: Pubsub, packaged: dict[str, PackagedFunction]
) -> None:
    file, log = tmp_path / "prompts.jsonl", tmp_path / "functions.err"
    file.write_text("".join(json.dumps({"prompt_id": f"p{n}", "prompt": str(n)}) + "\n" for n in range(200)))
    assert set(ALL_FUNCTIONS) == set(REQUIREMENTS)
    async with fake_provider() as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_CHUNK_LINES": "50"}
        async with (
            cloud_stack(tmp_path, firestore, pubsub, environ, processes=False) as one,
            function_processes(ALL_FUNCTIONS, one.variables, log, packaged) as functions,
        ):
            one.proxy.functions = {name: function.url for name, function in functions.items()}
            for name in ("init", "status", "results", "cancel"):
                await _check_open_and_protected_paths(functions[name])
            status = await run(one, file, tmp_path / "output", provider="openai", model="m", response_format=A_NUMBER)

    assert verify(file, tmp_path / "output").faults == []
    assert (status["status"], status["completed_count"]) == ("COMPLETED", 200)


async def _check_open_and_protected_paths(function: FunctionProcess) -> None:
    """Check that an API function serves its public paths and requires a key for the others."""
    method = "POST" if function.name in ("init", "cancel") else "GET"
    async with httpx.AsyncClient(base_url=function.url) as client:
        assert (await client.get("healthz")).status_code == 200
        assert (await client.get("openapi.json")).json()["openapi"] == "3.1.0"
        rejected = await client.request(method, f"v1/jobs/{function.name}")
    assert (rejected.status_code, rejected.headers["content-type"]) == (401, "application/problem+json")
