"""The verification of V4 signed URLs, as Cloud Storage documents it.

All its input is untrusted.
"""

import binascii
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.fakes.storage_bucket import StorageError

ALGORITHM = "GOOG4-RSA-SHA256"
MAX_SECONDS = 604_800
MAX_SKEW_SECONDS = 15 * 60
FIELDS = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")


def verified_signer(
    method: str, path: str, query: str, headers: Mapping[str, str], keys: Mapping[str, RSAPublicKey], now: float
) -> str:
    """Return the account that signed this request.

    Raises StorageError if the signature is invalid or has expired.
    `path` and `query` are as the client sent them. The names in `headers` are in lower case.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    values = dict(pairs)
    if any(f"X-Goog-{field}" not in values for field in FIELDS):
        raise StorageError(403, "AccessDenied")
    if len(values) != len(pairs) or values["X-Goog-Algorithm"] != ALGORITHM:
        raise StorageError(400, "InvalidArgument")
    _check_time(values["X-Goog-Date"], values["X-Goog-Expires"], now)
    email, _, scope = values["X-Goog-Credential"].partition("/")
    signed = values["X-Goog-SignedHeaders"].split(";")
    if "host" not in signed or not set(signed) <= set(headers) or email not in keys:
        raise StorageError(403, "SignatureDoesNotMatch")
    if any(name.startswith("x-goog-") and name not in signed for name in headers):
        raise StorageError(403, "SignatureDoesNotMatch")
    parameters = "&".join(sorted(f"{_encode(k)}={_encode(v)}" for k, v in pairs if k != "X-Goog-Signature"))
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed)
    payload = headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    request = "\n".join((method, path, parameters, lines, ";".join(signed), payload))
    digest = hashlib.sha256(request.encode()).hexdigest()
    message = "\n".join((ALGORITHM, values["X-Goog-Date"], scope, digest))
    _check_signature(keys[email], values["X-Goog-Signature"], message.encode())
    return email


def _check_time(date: str, expires: str, now: float) -> None:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        seconds = int(expires)
    except ValueError:
        raise StorageError(400, "InvalidArgument") from None
    if not 0 < seconds <= MAX_SECONDS:
        raise StorageError(400, "InvalidArgument")
    if now >= signed_at + seconds:
        raise StorageError(400, "ExpiredToken")
    if signed_at > now + MAX_SKEW_SECONDS:
        raise StorageError(403, "AccessDenied")


def _check_signature(key: RSAPublicKey, signature: str, message: bytes) -> None:
    try:
        key.verify(binascii.unhexlify(signature), message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise StorageError(403, "SignatureDoesNotMatch") from None


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")
