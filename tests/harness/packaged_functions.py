"""Functions as they are deployed: each unpacked from its archive, in an environment that has what it names and no
more, all of it compiled."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from infra.package import REQUIREMENTS, write

UV = Path(sys.executable).with_name("uv")


@dataclass(frozen=True)
class PackagedFunction:
    """Where a function is, and the interpreter that runs it."""

    python: Path
    main: Path


def install_functions(folder: Path) -> dict[str, PackagedFunction]:
    """Every function from its archive, below `folder`. Those that need the same share an environment."""
    environments: dict[bytes, Path] = {}
    found: dict[str, PackagedFunction] = {}
    for name in REQUIREMENTS:
        home = folder / name
        write(name, home.with_suffix(".zip"))
        with zipfile.ZipFile(home.with_suffix(".zip")) as archive:
            archive.extractall(home)
        needed = home / "requirements.txt"
        if needed.read_bytes() not in environments:
            environments[needed.read_bytes()] = _environment(folder / f"needed-by-{name}", needed)
        found[name] = PackagedFunction(environments[needed.read_bytes()], home / "main.py")
        _run(found[name].python, "-m", "compileall", "-q", home)
    return found


def _environment(folder: Path, needed: Path) -> Path:
    """The interpreter of a new environment."""
    python = folder / "bin" / "python"
    _run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    _run(UV, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--compile-bytecode", "-r", needed)
    return python


def _run(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True)
