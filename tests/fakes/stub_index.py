"""A package index of stub wheels: each package of a lock at the pinned version, and at a newer one."""

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

_PIN = re.compile(r"([\w.-]+)==([^\s;]+)( ; [^\\]+?)?(?: \\)?")
_IGNORED = re.compile(r"#.*|    --hash=sha256:[0-9a-f]{64}(?: \\)?|    # .*")


@dataclass(frozen=True)
class Pin:
    """A pinned package; `marker` begins with a semicolon, or is empty."""

    name: str
    version: str
    marker: str

    @property
    def applies(self) -> bool:
        """Whether the package is for this platform and this Python."""
        marker = Requirement(f"{self.name}{self.marker}").marker
        return marker is None or marker.evaluate()


def read_pins(lock: Path) -> list[Pin]:
    """Return what a lock file pins.

    Raises ValueError for a line of another kind.
    """
    pins = []
    for line in lock.read_text().splitlines():
        if match := _PIN.fullmatch(line):
            pins.append(Pin(match[1], match[2], match[3] or ""))
        elif not _IGNORED.fullmatch(line):
            raise ValueError(f"{lock}: not a pinned package: {line}")
    return pins


def write_index(pins: list[Pin], folder: Path) -> str:
    """Write the wheels, and return the text of a lock file with their hashes.

    A wheel has the requirements of the real package, if that is installed. It also requires the next package of the
    lock with an extra. So every lock contains the case in which pip resolves a pinned package a second time.
    """
    lines = []
    for pin, following in zip(pins, [*pins[1:], pins[0]], strict=True):
        _write_wheel(folder, pin.name, _newer(pin.version), ())
        needs = [*_real_requirements(pin.name), f"{following.name}[more]{following.marker}"]
        digest = _write_wheel(folder, pin.name, pin.version, needs)
        lines.append(f"{pin.name}=={pin.version}{pin.marker} --hash=sha256:{digest}\n")
    return "".join(lines)


def _newer(version: str) -> str:
    """A later version of the same release, so that upper bounds allow it."""
    return f"{Version(version).base_version}.1"


def _real_requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # a package for another platform, or of another environment
        return []


def _write_wheel(folder: Path, name: str, version: str, needs: Iterable[str]) -> str:
    """Write a wheel that holds its metadata and nothing else.

    Returns its SHA-256.
    """
    stem = f"{re.sub(r'[-.]+', '_', name)}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Provides-Extra: more"]
    metadata += [f"Requires-Dist: {need}" for need in needs]
    files = {
        f"{stem}.dist-info/METADATA": "\n".join(metadata) + "\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_record_hash(text)},{len(text.encode())}\n" for path, text in files.items())
    files[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n"
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
