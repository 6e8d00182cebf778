"""A fake of Google's identity tokens: signed with a key of the test run, with a server for its certificates."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

from tests.harness.loopback import serve_app

KEY_ID = "key-1"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class TokenIssuer:
    """The issuer of the tokens.

    `certificate_requests` counts the requests for the certificates. While `unavailable` is set, they fail with 503.
    """

    key: rsa.RSAPrivateKey = field(default_factory=_new_key)
    certificates_url: str = ""
    certificate_requests: int = 0
    unavailable: bool = False

    def token(self, email: str, audience: str, /, **claims: Any) -> str:
        """Return a token that is valid for an hour.

        `claims` override the usual ones; None removes a claim.
        """
        now = int(time.time())
        times = {"iss": "https://accounts.google.com", "aud": audience, "iat": now, "exp": now + 3600}
        account = {"sub": "1", "azp": "1", "email": email, "email_verified": True}
        payload = {name: value for name, value in {**times, **account, **claims}.items() if value is not None}
        token: bytes = jwt.encode(crypt.RSASigner(self.key, KEY_ID), payload)  # type: ignore[no-untyped-call]
        return token.decode()

    async def certificates(self, request: web.Request) -> web.Response:
        """Serve GET /oauth2/v1/certs: the public keys by their ids."""
        self.certificate_requests += 1
        if self.unavailable:
            return web.Response(status=503)
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return web.json_response({KEY_ID: public.decode()})


def without_signature(token: str) -> str:
    """Return the token as Cloud Run forwards it to a function after IAM has verified it."""
    return f"{token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"


@asynccontextmanager
async def serve_issuer(issuer: TokenIssuer) -> AsyncIterator[TokenIssuer]:
    """Serve the certificates of an issuer."""
    app = web.Application()
    app.router.add_get("/oauth2/v1/certs", issuer.certificates)
    async with serve_app(app) as url:
        issuer.certificates_url = f"{url}/oauth2/v1/certs"
        yield issuer
