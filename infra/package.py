"""Makes build/NAME.zip of every function: its main.py, every module of ours that it can come to import, and what these
need of others, pinned. The same tree gives the same bytes, wherever and whenever.

    python -m infra.package
"""

import ast
import hashlib
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT / "shared"
BUILD = ROOT / "build"

REQUIREMENTS = {
    "init": "api",
    "status": "api",
    "results": "api",
    "cancel": "api",
    "delete": "api",
    "splitter": "events",
    "finalizer": "events",
    "sweeper": "events",
    "eraser": "events",
    "worker": "worker",
}
"""The functions, and the file of requirements/functions/ that each is given."""

ON_ONE_MACHINE = "promptforge.adapters.local"
"""What `app.build` imports for the other backend only."""

ASKS = "promptforge.worker.realtime_lane"
PROVIDERS = "promptforge.adapters.llm"
"""Whoever has the one needs the other: a provider is imported by its name."""

MIDNIGHT = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell
UNIX = 3


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, wherever it does so; or a name in one, for the syntax is the same."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(main: Path) -> dict[str, Path]:
    """Every module of ours that a main.py can come to import, by name."""
    found: dict[str, Path] = {}
    waiting = _imports(main)
    while waiting:
        name = waiting.pop()
        if not name or name in found or name.startswith(ON_ONE_MACHINE):
            continue
        waiting.append(name.rpartition(".")[0])
        if source := _source(name):
            found[name] = source
            waiting += _imports(source)
        if name == ASKS:
            waiting += [f"{PROVIDERS}.{file.stem}" for file in _file(PROVIDERS).glob("*.py")]
    return found


def contents(name: str) -> dict[str, Path]:
    """The files of a function's archive, and where they are here."""
    main = ROOT / "functions" / name / "main.py"
    ours = {str(source.relative_to(SHARED)): source for source in modules(main).values()}
    return ours | {
        "main.py": main,
        "requirements.txt": ROOT / "requirements" / "functions" / f"{REQUIREMENTS[name]}.txt",
    }


def write(name: str, target: Path) -> None:
    """Write a function's archive. Nothing is compressed: how that is done differs between versions of zlib."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path, source in sorted(contents(name).items()):
            entry = zipfile.ZipInfo(path, MIDNIGHT)
            entry.create_system = UNIX
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, source.read_bytes())


def _imports(source: Path) -> list[str]:
    return list(imported(ast.parse(source.read_bytes())))


def _file(name: str) -> Path:
    return SHARED.joinpath(*name.split("."))


def _source(name: str) -> Path | None:
    """Where a module of ours is; None for what is not ours, or no module."""
    places = (_file(name).with_suffix(".py"), _file(name) / "__init__.py")
    return next((place for place in places if place.is_file()), None)


def main() -> None:
    BUILD.mkdir(exist_ok=True)
    for folder in sorted((ROOT / "functions").iterdir()):
        target = BUILD / f"{folder.name}.zip"
        write(folder.name, target)
        digest = hashlib.sha256(target.read_bytes()).hexdigest()
        print(f"{digest}  {target.stat().st_size:>9,}  {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
