"""`promptforge serve --backend gcp`, as far as it goes without Google Cloud: what an operator is told."""

from pathlib import Path

import httpx
import pytest
from tests.harness.emulators import free_port
from tests.harness.engine_process import promptforge
from tests.unit.test_settings import GCP, OF_FUNCTIONS

from promptforge.engine.cloud_gateway import gateway_app
from promptforge.engine.load_functions import EVENT_FUNCTIONS

COMPLETE = GCP | OF_FUNCTIONS
SERVE = ("serve", "--backend", "gcp", "--port", "0")
KEYS = ("keys", "create", "--client", "x")


def told(tmp_path: Path, *command: str, **environ: str) -> str:
    """The last line on standard error of a command that cannot start, on a machine without credentials."""
    nobody = {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    done = promptforge(*command, **COMPLETE, **nobody, **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("promptforge: ")
    return said


@pytest.mark.parametrize("command", [SERVE, KEYS])
def test_who_has_no_credentials_is_told_how_to_get_them(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "gcloud auth application-default login" in told(tmp_path, *command)


@pytest.mark.parametrize("command", [SERVE, KEYS])
def test_a_project_that_does_not_answer_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    said = told(tmp_path, *command, FIRESTORE_EMULATOR_HOST=f"127.0.0.1:{free_port()}")

    assert "database (default) of project demo does not answer (ServiceUnavailable)" in said


@pytest.mark.parametrize("command", [SERVE, KEYS])
def test_who_lacks_googles_libraries_is_told_what_to_install(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "sitecustomize.py").write_text('import sys; sys.modules["google.api_core"] = None')  # as if not there

    assert "install promptforge-batch[gcp], or run make setup-gcp" in told(tmp_path, *command, PYTHONPATH=str(tmp_path))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    done = promptforge(*SERVE, **{name: value for name, value in COMPLETE.items() if "SIGNER" not in name})

    missing = "PROMPTFORGE_UPLOAD_SIGNER, PROMPTFORGE_DOWNLOAD_SIGNER"
    assert done.stderr == f"promptforge: PROMPTFORGE_BACKEND=gcp also requires {missing}.\n"
    assert done.returncode == 1


@pytest.mark.parametrize("function", EVENT_FUNCTIONS)
async def test_an_event_function_is_found_with_a_slash_behind_its_name_and_without(function: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway_app()), base_url="http://gateway") as client:
        answers = [await client.put(path) for path in (f"/{function}", f"/{function}/", f"/{function}/more")]

    assert [answer.status_code for answer in answers] == [405, 405, 404]
