"""The secret of a data folder.

Keys derived from it sign URLs, hash API keys and make the engine's own key.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from promptforge.errors import SettingsError

SECRET_BYTES = 32


def load_secret(data_dir: Path) -> bytes:
    """Return the folder's secret, created at the first call and readable by its owner only.

    Raises SettingsError if it is damaged.
    """
    path = data_dir / "secret"
    if not path.exists():
        _create(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise SettingsError(f"{path} is damaged: put its {SECRET_BYTES} bytes back, or start with a new data folder.")
    return secret


def _create(path: Path) -> None:
    """Write the secret completely before it has its name: another process may read it at the same time."""
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:  # readable by its owner only
        file.write(secrets.token_bytes(SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)


def derive(secret: bytes, purpose: str) -> bytes:
    """Return a separate key for each purpose."""
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()
