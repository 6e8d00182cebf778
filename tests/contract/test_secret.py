import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from promptforge.adapters.local.secret import derive, load_secret
from promptforge.errors import SettingsError


def test_secret_is_stable_per_folder(tmp_path: Path) -> None:
    first = load_secret(tmp_path)

    assert len(first) == 32
    assert load_secret(tmp_path) == first


def test_secret_file_is_private(tmp_path: Path) -> None:
    load_secret(tmp_path)

    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_secret_file_is_private_under_open_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_secret(tmp_path)
    finally:
        os.umask(before)

    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_secret_concurrent_loads_return_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(load_secret, [tmp_path] * 32))

    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("damaged", [b"", b"x" * 31, b"x" * 33])
def test_secret_damaged_file_raises_settings_error(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "secret").write_bytes(damaged)

    with pytest.raises(SettingsError, match="secret is damaged"):
        load_secret(tmp_path)

    assert (tmp_path / "secret").read_bytes() == damaged


def test_secret_differs_between_folders(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()

    assert len({load_secret(folder) for folder in folders}) == 2


def test_secret_derive_differs_between_purposes() -> None:
    keys = {derive(secret, purpose) for secret in (b"one", b"two") for purpose in ("signed-urls", "api-keys")}

    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)
    assert derive(b"one", "api-keys") == derive(b"one", "api-keys")
