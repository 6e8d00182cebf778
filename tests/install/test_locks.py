"""Lock files install with the oldest supported pip, also when newer releases of the pinned packages exist."""

import os
import re
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from infra.package import REQUIREMENTS, ROOT

from tests.fakes.stub_index import Pin, read_pins, write_index
from tests.install.makefile import install_commands

OLDEST_PIP = "23.0.1" if sys.version_info < (3, 12) else "23.2.1"
"""The pip of Debian 12, and the one that Python 3.12.0 brought: an older pip does not run there."""

LOCKS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "requirements").rglob("*.txt"))
FUNCTION_LOCKS = {f"requirements/functions/{kind}.txt" for kind in REQUIREMENTS.values()}
NOT_PINNED = "In --require-hashes mode, all requirements must have their versions pinned with =="


@dataclass(frozen=True)
class Install:
    """The product's own command that installs a lock, and what the product adds to its environment."""

    command: list[str]
    environ: Mapping[str, str]

    def resolving(self) -> "Install":
        """Return the same without what keeps pip from resolving."""
        environ = {name: value for name, value in self.environ.items() if name != "PIP_NO_DEPS"}
        return Install([word for word in self.command if word != "--no-deps"], environ)


@dataclass(frozen=True)
class Stubs:
    """A folder in which a lock has the hashes of stub wheels."""

    folder: Path
    pins: list[Pin]

    def run(self, install: Install) -> subprocess.CompletedProcess[str]:
        """Run an installation into `installed`, with the stub wheels as the only index."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environ |= {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(self.folder / "index"),
            "PIP_NO_INDEX": "1",
            "PIP_TARGET": str(self.folder / "installed"),
            **install.environ,
        }
        return subprocess.run(
            install.command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def oldest_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the oldest supported pip, which comes from the same index as in `make setup`."""
    folder = tmp_path_factory.mktemp("oldest") / "venv"
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", f"pip=={OLDEST_PIP}"], check=True)
    return folder


@pytest.fixture(scope="module")
def installs(oldest_pip: Path) -> dict[str, Install]:
    """How each lock is installed: by the Makefile, and by the build of a function."""
    found = {lock: Install(command, {}) for lock, command in install_commands(oldest_pip).items()}
    terraform = (ROOT / "infra/modules/function/main.tf").read_text()
    environ = dict(re.findall(r'^ +(PIP_\w+) += "(\w+)"$', terraform, re.M))
    for lock in FUNCTION_LOCKS:  # as the buildpack installs a requirements.txt
        command = [f"{oldest_pip}/bin/python", "-m", "pip", "install", "--upgrade", "--force-reinstall", "-r", lock]
        found[lock] = Install(command, environ)
    return found


@pytest.fixture
def stubs(lock: str, tmp_path: Path) -> Stubs:
    pins = read_pins(ROOT / lock)
    (tmp_path / "index").mkdir()
    (tmp_path / lock).parent.mkdir(parents=True)
    (tmp_path / lock).write_text(write_index(pins, tmp_path / "index"))
    return Stubs(tmp_path, pins)


def test_makefile_and_build_install_every_lock(installs: dict[str, Install]) -> None:
    assert sorted(installs) == LOCKS


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_with_newer_releases_installs_its_pins(lock: str, stubs: Stubs, installs: dict[str, Install]) -> None:
    done = stubs.run(installs[lock])

    assert (done.returncode, done.stderr) == (0, "")
    installed = {folder.name for folder in (stubs.folder / "installed").glob("*.dist-info")}
    expected = {f"{re.sub('[-.]+', '_', pin.name)}-{pin.version}.dist-info" for pin in stubs.pins if pin.applies}
    assert installed == expected


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_with_newer_releases_fails_where_pip_resolves(
    lock: str, stubs: Stubs, installs: dict[str, Install]
) -> None:
    resolving = installs[lock].resolving()
    assert resolving != installs[lock]

    done = stubs.run(resolving)

    assert done.returncode == 1
    assert NOT_PINNED in done.stderr


def test_stub_of_google_genai_asks_for_an_extra_of_google_auth(tmp_path: Path) -> None:
    pins = [pin for pin in read_pins(ROOT / "requirements/dev.txt") if pin.name in ("google-auth", "google-genai")]
    write_index(pins, tmp_path)

    (wheel,) = tmp_path.glob(f"google_genai-{pins[1].version}-*.whl")
    assert b"Requires-Dist: google-auth[requests]" in wheel.read_bytes()


@pytest.mark.parametrize("lock", ["requirements/local.txt", "requirements/runtime.txt", *sorted(FUNCTION_LOCKS)])
def test_lock_of_users_pins_the_versions_that_tests_run_on(lock: str) -> None:
    tested = {(pin.name, pin.version) for pin in read_pins(ROOT / "requirements/dev.txt")}

    assert {(pin.name, pin.version) for pin in read_pins(ROOT / lock)} <= tested
