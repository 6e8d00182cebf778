"""The archives of the functions: the same bytes from the same tree, with what a function needs and no more."""

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
NEVER = ("promptforge/adapters/local", "promptforge/local", "promptforge/functions")
NOR = ("cli.py", "client.py", "run.py", "verify.py", "__main__.py")

UNREACHED = {
    "api": {"aiohttp", "google-cloud-pubsub", "google-cloud-storage"},  # they publish nothing, and only sign URLs
    "events": {"jsonschema-rs"},  # init and the worker alone look at schemas
    "worker": {"google-cloud-pubsub"},
}
"""What code imports that is there, and that the functions of a kind never run."""


def test_the_same_tree_gives_the_same_archives_elsewhere(tmp_path: Path) -> None:
    there = tmp_path / "there"
    for folder in ("functions", "infra", "requirements", "shared"):
        shutil.copytree(ROOT / folder, there / folder, copy_function=shutil.copyfile)
    for number, file in enumerate(sorted(there.rglob("*.py"))):
        os.utime(file, (10**9 + number, 10**9 + number))
        file.chmod(0o700)
    (there / "shared/promptforge/service/notes.txt").touch()
    command = [sys.executable, "-m", "infra.package"]
    subprocess.run(command, cwd=there, umask=0o077, stdout=subprocess.DEVNULL, check=True)

    for name in REQUIREMENTS:
        write(name, tmp_path / "here.zip")
        assert _digest(tmp_path / "here.zip") == _digest(there / "build" / f"{name}.zip")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_every_function_has_an_archive() -> None:
    assert set(REQUIREMENTS) == {*API, *EVENT_FUNCTIONS} == {main.parent.name for main in _mains()}


def _mains() -> list[Path]:
    return [*(ROOT / "functions").glob("*/main.py")]


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_an_archive_holds_what_its_function_needs_and_nothing_of_other_places(name: str, tmp_path: Path) -> None:
    write(name, tmp_path / "it.zip")
    with zipfile.ZipFile(tmp_path / "it.zip") as archive:
        entries = archive.infolist()
    paths = [entry.filename for entry in entries]
    assert paths == sorted(set(paths))
    assert {"main.py", "requirements.txt", "promptforge/__init__.py", "promptforge/adapters/gcp/bucket.py"} <= set(
        paths
    )
    assert not [path for path in paths if path.startswith(NEVER) or path.removeprefix("promptforge/") in NOR]
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    providers = {path.stem for path in map(Path, paths) if path.parent.name == "llm"}
    assert providers >= set(PROVIDER_KEYS) if name == "worker" else not providers


@pytest.mark.parametrize("kind", UNREACHED)
def test_what_is_pinned_is_what_was_tested(kind: str) -> None:
    text = (ROOT / "requirements" / "functions" / f"{kind}.txt").read_text()
    assert _pins(f"functions/{kind}").items() <= _pins("runtime").items()
    assert "functions-framework" in _pins(f"functions/{kind}")
    assert text.count("==") == sum("--hash=sha256:" in block for block in text.split("=="))
    assert "://" not in text


@pytest.mark.parametrize("kind", UNREACHED)
def test_what_the_code_imports_is_pinned_unless_it_is_never_run(kind: str) -> None:
    for name in (name for name, needed in REQUIREMENTS.items() if needed == kind):
        owners = {_owner(module) for source in contents(name).values() for module in _foreign(source)}
        assert owners - _pins(f"functions/{kind}").keys() == UNREACHED[kind]
        assert _named(kind) <= owners


def _pins(name: str) -> dict[str, str]:
    """What a file of requirements pins, and at which version."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    pins = (line.split(" ", 1)[0].partition("==") for line in lines)
    return {package: version for package, equal, version in pins if equal}


def _named(group: str) -> set[str]:
    """What pyproject.toml names for the functions of a kind."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    every = groups[group] + groups["function"]
    return {package for package in every if isinstance(package, str)}


def _foreign(source: Path) -> set[str]:
    """What a file imports that is neither ours nor Python's."""
    if source.suffix != ".py":
        return set()
    ours = {"promptforge", *sys.stdlib_module_names}
    return {module for module in imported(ast.parse(source.read_text())) if module.partition(".")[0] not in ours}


def _owner(module: str) -> str:
    """The package that brings a module; or a name in one."""
    return _owners().get(module) or _owners()[module.rpartition(".")[0]]


@cache
def _owners() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _pins("runtime"):
        with suppress(PackageNotFoundError):  # it is for another platform
            for path in files(package) or ():
                module = ".".join((*path.parent.parts, path.name.partition(".")[0]))
                found[module.removesuffix(".__init__")] = package
    return found
