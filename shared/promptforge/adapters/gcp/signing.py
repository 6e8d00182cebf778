"""Signed URLs of Cloud Storage (V4), signed through IAM by separate service accounts."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote, urlsplit

import certifi
import google.auth
import urllib3
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.urllib3 import AuthorizedHttp

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.threads import Lazy, Threads
from promptforge.errors import Unavailable
from promptforge.ports.clock import Clock

STORAGE = "https://storage.googleapis.com"
IAM = "https://iamcredentials.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
UPLOAD_TYPE = "application/octet-stream"
DOWNLOAD_TYPE = "application/x-ndjson"
MAX_URL_SECONDS = 7 * 24 * 60 * 60
IN_FLIGHT = 16
SIGN_SECONDS = 20.0


class Account(Protocol):
    """A service account that signs; the call blocks.

    The credentials of a key file in Google's library are one, too.
    """

    @property
    def signer_email(self) -> str: ...

    def sign_bytes(self, message: bytes) -> bytes: ...


class IamAccount:
    """An account whose key stays with Google: IAM signs for callers with signBlob on it.

    `emulator` is a URL.
    """

    def __init__(self, email: str, emulator: str = "") -> None:
        self.signer_email = email
        self._url = f"{emulator or IAM}/v1/projects/-/serviceAccounts/{email}:signBlob"
        self._http = Lazy(lambda: _authorized_http(AnonymousCredentials() if emulator else None))

    def sign_bytes(self, message: bytes) -> bytes:
        """Return the signature.

        Signing twice costs nothing, so a failed call is repeated for a short time.
        """
        reply = self._http().request("POST", self._url, json={"payload": base64.b64encode(message).decode()})
        if reply.status != 200:
            raise GoogleAuthError(f"signBlob answered {reply.status}")
        return base64.b64decode(json.loads(reply.data)["signedBlob"])

    def close(self) -> None:
        """Close the connections."""
        if http := self._http.get_if_created():
            http.http.clear()


class SignedUrls:
    """Signs URLs of the form ENDPOINT/BUCKET/NAME?X-Goog-… with two accounts."""

    def __init__(
        self, upload: Account, download: Account, operations: BilledOperations, clock: Clock, endpoint: str = STORAGE
    ) -> None:
        self._upload, self._download = upload, download
        self._operations, self._clock, self._endpoint = operations, clock, endpoint
        self._threads = Threads("signing", IN_FLIGHT, SIGN_SECONDS)

    async def put(self, bucket: str, name: str, expires_at: float) -> str:
        """Return a URL to PUT an object with `Content-Type: application/octet-stream`."""
        headers = {"content-type": UPLOAD_TYPE, "host": urlsplit(self._endpoint).netloc}
        return await self._url(self._upload, "PUT", f"/{bucket}/{_quote_path(name)}", headers, {}, expires_at)

    async def get(self, bucket: str, name: str, filename: str, expires_at: float) -> str:
        """Return a URL to GET an object, saved as `filename`."""
        headers = {"host": urlsplit(self._endpoint).netloc}
        answer = {"response-content-disposition": _attachment(filename), "response-content-type": DOWNLOAD_TYPE}
        return await self._url(self._download, "GET", f"/{bucket}/{_quote_path(name)}", headers, answer, expires_at)

    def close(self) -> None:
        """Close the threads."""
        self._threads.close()

    async def _url(
        self,
        account: Account,
        method: str,
        path: str,
        headers: dict[str, str],
        query: dict[str, str],
        expires_at: float,
    ) -> str:
        ends = int(expires_at)
        signed_at = min(int(self._clock.now()), ends - 1)  # an expired URL is signed too; Cloud Storage rejects it
        if ends - signed_at > MAX_URL_SECONDS:
            raise ValueError(f"a signed URL lives at most {MAX_URL_SECONDS} seconds")
        stamp = datetime.fromtimestamp(signed_at, UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/auto/storage/goog4_request"
        query = query | {
            "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
            "X-Goog-Credential": f"{account.signer_email}/{scope}",
            "X-Goog-Date": stamp,
            "X-Goog-Expires": str(ends - signed_at),
            "X-Goog-SignedHeaders": ";".join(headers),
        }
        text = "&".join(f"{_quote_query(key)}={_quote_query(value)}" for key, value in sorted(query.items()))
        lines = "".join(f"{key}:{value}\n" for key, value in headers.items())
        request = "\n".join((method, path, text, lines, ";".join(headers), "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = await self._sign(account, "\n".join(("GOOG4-RSA-SHA256", stamp, scope, digest)).encode())
        return f"{self._endpoint}{path}?{text}&X-Goog-Signature={signature.hex()}"

    async def _sign(self, account: Account, message: bytes) -> bytes:
        self._operations.add(BilledOperation.SIGN)
        try:
            return await self._threads.run(lambda: account.sign_bytes(message))
        except (GoogleAuthError, urllib3.exceptions.HTTPError, KeyError, ValueError) as exc:
            raise Unavailable(account.signer_email, type(exc).__name__) from exc


def _authorized_http(credentials: Credentials | None) -> AuthorizedHttp:
    retries = urllib3.Retry(
        3,
        backoff_factor=0.2,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,  # POST included: signing twice is harmless
        respect_retry_after_header=False,  # it may ask for more time than the caller has
    )
    pool = urllib3.PoolManager(
        maxsize=IN_FLIGHT, block=True, retries=retries, timeout=urllib3.Timeout(5, 5), ca_certs=certifi.where()
    )
    return AuthorizedHttp(credentials or google.auth.default(scopes=[SCOPE])[0], http=pool)


def _quote_path(name: str) -> str:
    return quote(name, safe="/~")


def _quote_query(text: str) -> str:
    return quote(text, safe="-_.~")


def _attachment(filename: str) -> str:
    plain = quote(filename)
    return f'attachment; filename="{filename}"' if plain == filename else f"attachment; filename*=utf-8''{plain}"
