"""API keys: `pf_`, 32 characters of base62 (190 random bits), 6 characters of CRC-32 against typing errors."""

import hashlib
import hmac
import re
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"pf_([0-9A-Za-z]{32})([0-9A-Za-z]{6})")


def make_key(random_bits: int) -> str:
    """A key from at least 190 random bits."""
    body = _base62(random_bits, 32)
    return f"pf_{body}{_checksum(body)}"


def is_mistyped(key: str) -> bool:
    """Whether a key claims to be one of ours and its checksum denies it. Foreign forms are left to the look-up."""
    if not key.startswith("pf_"):
        return False
    match = _FORM.fullmatch(key)
    return match is None or not hmac.compare_digest(match[2], _checksum(match[1]))


def hash_key(pepper: bytes, key: str) -> str:
    """What is stored of a key. Keys are random, so one keyed hash is enough; no slow hash is needed."""
    return hmac.new(pepper, b"api-key:" + key.encode(), hashlib.sha256).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits += ALPHABET[digit]
    return digits
