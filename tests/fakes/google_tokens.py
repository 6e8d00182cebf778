"""Identity tokens as Google makes them, signed with a throw-away key, and the place of its public half."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

from tests.harness.loopback import listening

KEY_ID = "key-1"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Issuer:
    """`served` counts how often the certificates were fetched; while `broken` they cannot be."""

    key: rsa.RSAPrivateKey = field(default_factory=_new_key)
    certificates_url: str = ""
    served: int = 0
    broken: bool = False

    def token(self, email: str, audience: str, /, **claims: Any) -> str:
        """A token that is good for an hour, unless the claims say otherwise; a claim of None is left out."""
        now = int(time.time())
        usual = {"iss": "https://accounts.google.com", "aud": audience, "iat": now, "exp": now + 3600}
        known = {"sub": "1", "azp": "1", "email": email, "email_verified": True}
        kept = {name: value for name, value in {**usual, **known, **claims}.items() if value is not None}
        token: bytes = jwt.encode(crypt.RSASigner(self.key, KEY_ID), kept)  # type: ignore[no-untyped-call]
        return token.decode()

    async def certificates(self, request: web.Request) -> web.Response:
        """GET /oauth2/v1/certs: the public halves by their ids."""
        self.served += 1
        if self.broken:
            return web.Response(status=503)
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return web.json_response({KEY_ID: public.decode()})


def handed_on(token: str) -> str:
    """The token as Cloud Run hands it on to a function, when IAM has verified it."""
    return f"{token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"


@asynccontextmanager
async def issuer(made: Issuer) -> AsyncIterator[Issuer]:
    """The issuer, with a place where its certificates can be fetched."""
    app = web.Application()
    app.router.add_get("/oauth2/v1/certs", made.certificates)
    async with listening(app) as url:
        made.certificates_url = f"{url}/oauth2/v1/certs"
        yield made
