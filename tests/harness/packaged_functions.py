"""Functions as deployed: unpacked from their archives, each in an environment with exactly its requirements."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from infra.package import REQUIREMENTS, write

UV = Path(sys.executable).with_name("uv")


@dataclass(frozen=True)
class PackagedFunction:
    """The entry point of a function, and the interpreter that runs it."""

    python: Path
    main: Path


def install_functions(folder: Path) -> dict[str, PackagedFunction]:
    """Install and compile every function from its archive into a folder.

    Functions with the same requirements share an environment.
    """
    environments: dict[bytes, Path] = {}
    functions: dict[str, PackagedFunction] = {}
    for name in REQUIREMENTS:
        home = folder / name
        write(name, home.with_suffix(".zip"))
        with zipfile.ZipFile(home.with_suffix(".zip")) as archive:
            archive.extractall(home)
        requirements = home / "requirements.txt"
        content = requirements.read_bytes()
        if content not in environments:
            environments[content] = _create_environment(folder / f"environment-{name}", requirements)
        functions[name] = PackagedFunction(environments[content], home / "main.py")
        _run(functions[name].python, "-m", "compileall", "-q", home)
    return functions


def _create_environment(folder: Path, requirements: Path) -> Path:
    """Return the interpreter of a new environment."""
    python = folder / "bin" / "python"
    _run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    options = ("--quiet", "--python", python, "--require-hashes", "--compile-bytecode")
    _run(UV, "pip", "install", *options, "-r", requirements)
    return python


def _run(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True)
