"""Write build/NAME.zip for every function: main.py, the product modules it can import, and pinned requirements.

The same tree gives the same bytes on every machine and at every time.

    python -m infra.package
"""

import ast
import hashlib
import runpy
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT / "shared"
BUILD = ROOT / "build"

FUNCTIONS = runpy.run_path(str(SHARED / "promptforge/domain/functions.py"))["FUNCTIONS"]
"""The table of functions, read without an installation of the product."""

REQUIREMENTS: dict[str, str] = {name: function.dependencies for name, function in FUNCTIONS.items()}
"""The requirements file in requirements/functions/ of each function."""

LOCAL_ADAPTERS = "promptforge.adapters.local"
"""The adapters that `bootstrap.build_context` imports only for the local backend."""

PROVIDER_CALLER = "promptforge.worker.realtime_lane"
PROVIDER_ADAPTERS = "promptforge.adapters.llm"
"""The caller imports a provider's adapter by name at run time, so an archive with the caller needs all of them."""

EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
UNIX = 3


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that a file imports, at any depth.

    `from a import b` yields `a.b`, because the syntax does not tell whether `b` is a module or a name in `a`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(main: Path) -> dict[str, Path]:
    """Return the source of every product module that a main.py can import, by module name."""
    found: dict[str, Path] = {}
    pending = _imports(main)
    while pending:
        name = pending.pop()
        if not name or name in found or name.startswith(LOCAL_ADAPTERS):
            continue
        pending.append(name.rpartition(".")[0])
        if source := _source(name):
            found[name] = source
            pending += _imports(source)
        if name == PROVIDER_CALLER:
            pending += [f"{PROVIDER_ADAPTERS}.{file.stem}" for file in _module_path(PROVIDER_ADAPTERS).glob("*.py")]
    return found


def contents(name: str) -> dict[str, Path]:
    """Return the source of each file in a function's archive, by its path in the archive."""
    main = ROOT / "functions" / name / "main.py"
    product = {str(source.relative_to(SHARED)): source for source in modules(main).values()}
    return product | {
        "main.py": main,
        "requirements.txt": ROOT / "requirements" / "functions" / f"{REQUIREMENTS[name]}.txt",
    }


def write(name: str, target: Path) -> None:
    """Write a function's archive.

    Entries are stored uncompressed, because the output of zlib differs between its versions.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path, source in sorted(contents(name).items()):
            entry = zipfile.ZipInfo(path, EARLIEST_ZIP_TIME)
            entry.create_system = UNIX
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, source.read_bytes())


def _imports(source: Path) -> list[str]:
    return list(imported(ast.parse(source.read_bytes())))


def _module_path(name: str) -> Path:
    return SHARED.joinpath(*name.split("."))


def _source(name: str) -> Path | None:
    """Return the source file of a product module, or None for any other name."""
    candidates = (_module_path(name).with_suffix(".py"), _module_path(name) / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def main() -> None:
    BUILD.mkdir(exist_ok=True)
    for folder in sorted((ROOT / "functions").iterdir()):
        target = BUILD / f"{folder.name}.zip"
        write(folder.name, target)
        digest = hashlib.sha256(target.read_bytes()).hexdigest()
        print(f"{digest}  {target.stat().st_size:>9,}  {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
