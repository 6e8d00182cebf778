"""Function archives are reproducible and contain exactly the files that a function needs."""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest
from infra.package import REQUIREMENTS, ROOT, contents, imported, write

from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS
from promptforge.settings import PROVIDER_KEYS

API = sorted(set(HTTP_FUNCTIONS.values()))
EXCLUDED = (
    "promptforge/__main__.py",
    "promptforge/adapters/local",
    "promptforge/cli",
    "promptforge/client",
    "promptforge/engine",
    "promptforge/functions",
    "promptforge/local",
    "promptforge/run.py",
    "promptforge/verify.py",
)
"""Prefixes of the modules that only the engine, the command line and the client use."""

UNREACHED = {
    "api": {"aiohttp", "google-cloud-pubsub", "google-cloud-storage"},  # they publish nothing and only sign URLs
    "events": {"jsonschema-rs"},  # the sweeper imports the module of create_job for its timeouts
    "worker": {"google-cloud-pubsub"},
}
"""Packages that a kind's archives import but its functions never run, so they are not pinned."""


def test_archives_of_a_copied_tree_are_identical(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for folder in ("functions", "infra", "requirements", "shared"):
        shutil.copytree(ROOT / folder, elsewhere / folder, copy_function=shutil.copyfile)
    for number, file in enumerate(sorted(elsewhere.rglob("*.py"))):
        os.utime(file, (10**9 + number, 10**9 + number))
        file.chmod(0o700)
    (elsewhere / "shared/promptforge/domain/notes.txt").touch()
    command = [sys.executable, "-m", "infra.package"]
    subprocess.run(command, cwd=elsewhere, umask=0o077, stdout=subprocess.DEVNULL, check=True)

    for name in REQUIREMENTS:
        write(name, tmp_path / "here.zip")
        assert _digest(tmp_path / "here.zip") == _digest(elsewhere / "build" / f"{name}.zip")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_archives_exist_for_every_function() -> None:
    assert set(REQUIREMENTS) == {*API, *EVENT_FUNCTIONS} == {main.parent.name for main in _mains()}
    assert set(REQUIREMENTS.values()) == set(UNREACHED)


def _mains() -> list[Path]:
    return [*(ROOT / "functions").glob("*/main.py")]


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_archive_contains_required_files_and_no_engine_or_cli(name: str, tmp_path: Path) -> None:
    write(name, tmp_path / "function.zip")
    with zipfile.ZipFile(tmp_path / "function.zip") as archive:
        entries = archive.infolist()
    paths = [entry.filename for entry in entries]
    assert paths == sorted(set(paths))
    assert {"main.py", "requirements.txt", "promptforge/__init__.py", "promptforge/adapters/gcp/bucket.py"} <= set(
        paths
    )
    assert not [path for path in paths if path.startswith(EXCLUDED)]
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    providers = {path.stem for path in map(Path, paths) if path.parent.name == "llm"}
    assert providers >= set(PROVIDER_KEYS) if name == "worker" else not providers


@pytest.mark.parametrize("kind", UNREACHED)
def test_function_requirements_pin_the_tested_versions_with_hashes(kind: str) -> None:
    text = (ROOT / "requirements" / "functions" / f"{kind}.txt").read_text()
    assert _pins(f"functions/{kind}").items() <= _pins("runtime").items()
    assert "functions-framework" in _pins(f"functions/{kind}")
    assert text.count("==") == sum("--hash=sha256:" in block for block in text.split("=="))
    assert "://" not in text


@pytest.mark.parametrize("kind", UNREACHED)
def test_function_requirements_cover_imports_except_unreached(kind: str) -> None:
    unreached: set[str] = set()
    for name in (name for name, dependencies in REQUIREMENTS.items() if dependencies == kind):
        owners = {_owner(module) for source in contents(name).values() for module in _third_party(source)}
        unreached |= owners - _pins(f"functions/{kind}").keys()
        assert _declared(kind) <= owners

    assert unreached == UNREACHED[kind]


def _pins(name: str) -> dict[str, str]:
    """Return the pinned version of each package in a requirements file."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    pins = (line.split(" ", 1)[0].partition("==") for line in lines)
    return {package: version for package, equal, version in pins if equal}


def _declared(group: str) -> set[str]:
    """Return the packages that pyproject.toml names for a kind of function."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    every = groups[group] + groups["function"]
    return {package for package in every if isinstance(package, str)}


def _third_party(source: Path) -> set[str]:
    """Return the third-party modules that a file imports."""
    if source.suffix != ".py":
        return set()
    known = {"promptforge", *sys.stdlib_module_names}
    return {module for module in imported(ast.parse(source.read_text())) if module.partition(".")[0] not in known}


def _owner(module: str) -> str:
    """Return the package that provides a module or a name in a module."""
    return _owners().get(module) or _owners()[module.rpartition(".")[0]]


@cache
def _owners() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _pins("runtime"):
        with suppress(PackageNotFoundError):  # pinned for another platform
            for path in files(package) or ():
                module = ".".join((*path.parent.parts, path.name.partition(".")[0]))
                found[module.removesuffix(".__init__")] = package
    return found
