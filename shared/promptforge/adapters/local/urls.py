"""Signed URLs: an HMAC of the method, the object, the file name and the expiry time."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

PREFIX = "/storage"


class InvalidSignature(Exception):
    """The URL was changed, or it was signed elsewhere."""


class UrlExpired(Exception):
    """The URL is expired."""


@dataclass(frozen=True, slots=True)
class UrlSigner:
    """Signs and checks URLs of the form `BASE/storage/BUCKET/NAME?expires=…&filename=…&signature=…`."""

    key: bytes
    base_url: str

    def url(self, method: str, bucket: str, name: str, expires_at: float, filename: str = "") -> str:
        """Return a URL for `method` on one object, valid until `expires_at`."""
        expires = str(int(expires_at))
        signature = self._sign(method, bucket, name, filename, expires)
        query = {"expires": expires, **({"filename": filename} if filename else {}), "signature": signature}
        return f"{self.base_url}{PREFIX}/{bucket}/{quote(name)}?{urlencode(query)}"

    def check(self, method: str, bucket: str, name: str, query: Mapping[str, str], now: float) -> None:
        """Raise InvalidSignature or UrlExpired unless this request was signed and is in time."""
        expires, filename = query.get("expires", ""), query.get("filename", "")
        given = query.get("signature", "").encode()
        if not hmac.compare_digest(given, self._sign(method, bucket, name, filename, expires).encode()):
            raise InvalidSignature
        if now >= int(expires):
            raise UrlExpired

    def _sign(self, method: str, bucket: str, name: str, filename: str, expires: str) -> str:
        text = "\n".join(map(quote, (method, bucket, name, filename, expires)))
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
