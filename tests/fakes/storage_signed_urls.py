"""PUT and GET of objects by signed URLs, on the buckets of the fake."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from promptforge.ports.clock import Clock
from tests.fakes.signed_urls import verified_signer
from tests.fakes.storage_bucket import FakeBucket, StorageError, StoredObject
from tests.fakes.storage_json_api import content_response


@dataclass(frozen=True)
class ServiceAccount:
    """A service account: its key, and whether its role may create objects (and overwrite none) or read them."""

    key: RSAPublicKey
    creates: bool


class SignedUrlApi:
    """Serves the requests that one of the accounts has signed."""

    def __init__(
        self, accounts: Mapping[str, ServiceAccount], clock: Clock, on_created: Callable[[StoredObject], None]
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._on_created = on_created

    def serve(self, bucket: FakeBucket, name: str, request: web.Request, body: bytes) -> web.Response:
        """Serve one request.

        Raises StorageError where the signature or the role does not permit it.
        """
        account = self._signer(request)
        if request.method == "PUT" and account.creates and name not in bucket.objects:
            self._on_created(bucket.put(name, body, request.headers["Content-Type"], {}))
            return web.Response()
        if request.method == "GET" and not account.creates:
            return _download(bucket, name, request)
        raise StorageError(403, "AccessDenied")

    def _signer(self, request: web.Request) -> ServiceAccount:
        path, _, query = request.raw_path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        keys = {email: account.key for email, account in self._accounts.items()}
        email = verified_signer(request.method, path, query, headers, keys, self._clock.now())
        return self._accounts[email]


def _download(bucket: FakeBucket, name: str, request: web.Request) -> web.Response:
    response = content_response(request, bucket.get(name, {}))
    for parameter, header in (("type", "Content-Type"), ("disposition", "Content-Disposition")):
        if value := request.query.get(f"response-content-{parameter}"):
            response.headers[header] = value
    return response
