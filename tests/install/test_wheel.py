"""The wheel alone, without a checkout: installed on the versions of the lock, it runs a job."""

import email.message
import os
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from infra.package import REQUIREMENTS, ROOT

from promptforge import __version__
from tests.install.makefile import install_commands

EXAMPLE = ROOT / "examples" / "prompts.jsonl"
LOCK = "requirements/local.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", folder], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands in a new environment that has the lock's packages and the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True)
    pip = (folder / "bin/python", "-m", "pip")
    subprocess.run(install_commands(folder)[LOCK], cwd=ROOT, check=True)
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    subprocess.run([*pip, "check"], check=True)
    return folder / "bin"


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(path).decode())


def test_wheel_metadata_has_the_version_of_the_code(wheel: Path) -> None:
    found = metadata(wheel)

    assert (found["Name"], found["Version"]) == ("promptforge-batch", __version__)
    assert (found["License-Expression"], found["Author"]) == ("MIT", "The PromptForge founders")
    assert found["Requires-Python"] == ">=3.11"
    assert found["Keywords"]
    assert "Typing :: Typed" in found.get_all("Classifier", [])


def test_wheel_has_the_functions_and_all_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    shared = ROOT / "shared"
    package = {str(file.relative_to(shared)) for file in (shared / "promptforge").rglob("*") if file.is_file()}
    functions = {f"promptforge/functions/{name}/main.py" for name in REQUIREMENTS}
    assert names == functions | {name for name in package if "__pycache__" not in name}
    assert "promptforge/py.typed" in names


def test_installed_wheel_runs_a_job_in_another_folder(installed: Path, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PROMPTFORGE_", "PYTHON"))}
    options = ("--provider", "echo", "--model", "echo-1", "--output", "answers", "--data-dir", "data")
    command = [str(installed / "promptforge"), "run", str(EXAMPLE), *options]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "3 answered, 0 failed" in done.stderr
    (results,) = (tmp_path / "answers").glob("results_part_*.jsonl")
    assert results.read_bytes().count(b"\n") == 3


def test_installed_wheel_does_not_use_the_checkout(installed: Path, tmp_path: Path) -> None:
    script = "from promptforge.engine.load_functions import functions_folder; print(functions_folder())"
    found = subprocess.run(
        [installed / "python", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert Path(found.stdout.strip()).is_relative_to(installed.parent)


def test_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "promptforge"), "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert __version__ in done.stdout
