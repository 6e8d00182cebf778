"""Errors of `promptforge serve --backend gcp` and `keys` without a Google Cloud project."""

from pathlib import Path

import httpx
import pytest
from tests.harness.emulators import free_port
from tests.harness.engine_process import run_cli
from tests.unit.test_settings import GCP, OF_FUNCTIONS

from promptforge.engine.cloud_gateway import gateway_app
from promptforge.engine.load_functions import EVENT_FUNCTIONS

COMPLETE = GCP | OF_FUNCTIONS
SERVE = ("serve", "--backend", "gcp", "--port", "0")
KEYS = ("keys", "create", "--client", "x")


def error_line(tmp_path: Path, *command: str, **environ: str) -> str:
    """Run a command that cannot start, without credentials, and return the last line of its standard error."""
    anonymous = {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    done = run_cli(*command, **COMPLETE, **anonymous, **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("promptforge: ")
    return line


@pytest.mark.parametrize("command", [SERVE, KEYS])
def test_gcp_command_without_credentials_says_how_to_get_them(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "gcloud auth application-default login" in error_line(tmp_path, *command)


@pytest.mark.parametrize("command", [SERVE, KEYS])
def test_gcp_command_unreachable_project_error_has_its_name(tmp_path: Path, command: tuple[str, ...]) -> None:
    line = error_line(tmp_path, *command, FIRESTORE_EMULATOR_HOST=f"127.0.0.1:{free_port()}")

    assert "database (default) of project demo does not answer (ServiceUnavailable)" in line


@pytest.mark.parametrize("command", [SERVE, KEYS])
def test_gcp_command_without_google_libraries_says_what_to_install(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        'import sys; sys.modules["google.api_core"] = None'
    )  # as if it were not installed

    assert "install promptforge-batch[gcp], or run make setup-gcp" in error_line(
        tmp_path, *command, PYTHONPATH=str(tmp_path)
    )


def test_gcp_command_missing_settings_error_has_their_names(tmp_path: Path) -> None:
    done = run_cli(*SERVE, **{name: value for name, value in COMPLETE.items() if "SIGNER" not in name})

    missing = "PROMPTFORGE_UPLOAD_SIGNER, PROMPTFORGE_DOWNLOAD_SIGNER"
    assert done.stderr == f"promptforge: PROMPTFORGE_BACKEND=gcp also requires {missing}.\n"
    assert done.returncode == 1


@pytest.mark.parametrize("function", EVENT_FUNCTIONS)
async def test_gateway_event_function_has_a_path_with_and_without_slash(function: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway_app()), base_url="http://gateway") as client:
        responses = [await client.put(path) for path in (f"/{function}", f"/{function}/", f"/{function}/more")]

    assert [response.status_code for response in responses] == [405, 405, 404]
