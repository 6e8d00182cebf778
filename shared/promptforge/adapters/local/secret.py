"""The one secret of a data folder: it signs URLs, peppers key hashes and yields the engine's own key."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path


def load_secret(data_dir: Path) -> bytes:
    """The folder's secret, made at the first call and readable by its owner only."""
    path = data_dir / "secret"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))
    return path.read_bytes()


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose."""
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()
