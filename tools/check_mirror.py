"""Check that `tests/unit` mirrors `shared/promptforge`.

The tests of the module `worker/lease.py` stand in `tests/unit/worker/test_lease.py`. A module with many tests has
more files, each with one aspect behind the name: `test_lease_after_crash.py`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

from tools.findings import Finding, run

TESTS = PurePath("tests/unit")
PACKAGE = PurePath("shared/promptforge")


def check_source(path: str, source: str, root: Path = Path()) -> Iterator[Finding]:
    """Yield a finding if no module of the package belongs to the test file."""
    test = PurePath(path)
    if test.name in ("__init__.py", "conftest.py"):
        return
    folder = root / PACKAGE / test.parent.relative_to(TESTS)
    words = test.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
    if not any((folder / f"{name}.py").is_file() for name in names):
        module = folder.relative_to(root) / f"{names[0]}.py"
        yield Finding(path, 1, "mirror", f"there is no module {module.as_posix()}: name the file after a module")


def main() -> int:
    """Check the files that the command line names, or every file of `tests/unit`."""
    return run(check_source, __doc__, globs=(f"{TESTS}/*.py",))


if __name__ == "__main__":
    sys.exit(main())
