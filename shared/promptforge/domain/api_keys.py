"""API keys: `pf_`, 32 characters of base62 (190 random bits), and 6 characters of CRC-32 to detect typing errors."""

import hashlib
import hmac
import re
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"pf_([0-9A-Za-z]{32})([0-9A-Za-z]{6})")


def make_key(random_bits: int) -> str:
    """Return a key made from at least 190 random bits."""
    body = _base62(random_bits, 32)
    return f"pf_{body}{_checksum(body)}"


def is_mistyped(key: str) -> bool:
    """Return whether a key has the prefix of a PromptForge key but not its form or checksum.

    A key without the prefix may still be valid; only the store can decide.
    """
    if not key.startswith("pf_"):
        return False
    match = _FORM.fullmatch(key)
    return match is None or not hmac.compare_digest(match[2], _checksum(match[1]))


def hash_key(pepper: bytes, key: str) -> str:
    """Return the hash that is stored for a key.

    A slow hash is not necessary, because keys are random.
    """
    return hmac.new(pepper, b"api-key:" + key.encode(), hashlib.sha256).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits += ALPHABET[digit]
    return digits
