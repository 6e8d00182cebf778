from pathlib import Path

import pytest
from tools.check_mirror import check_source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    module = tmp_path / "shared/promptforge/worker/call_slots.py"
    module.parent.mkdir(parents=True)
    module.touch()
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "tests/unit/worker/test_call_slots.py",
        "tests/unit/worker/test_call_slots_after_release.py",
        "tests/unit/worker/__init__.py",
        "tests/unit/worker/conftest.py",
    ],
)
def test_mirror_check_file_of_a_module_has_no_finding(root: Path, path: str) -> None:
    assert list(check_source(path, "", root)) == []


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("tests/unit/worker/test_slots.py", "shared/promptforge/worker/slots.py"),
        ("tests/unit/worker/test_call.py", "shared/promptforge/worker/call.py"),
        ("tests/unit/test_call_slots.py", "shared/promptforge/call_slots.py"),
        ("tests/unit/state/test_call_slots.py", "shared/promptforge/state/call_slots.py"),
    ],
)
def test_mirror_check_file_without_module_is_found(root: Path, path: str, module: str) -> None:
    [finding] = check_source(path, "", root)

    assert (finding.path, finding.rule) == (path, "mirror")
    assert module in finding.text
