"""Authorization of event function callers by the identity token that Google signed: a second check behind IAM.

IAM verifies the token before Cloud Run forwards a request. Cloud Run removes its signature
(https://cloud.google.com/run/docs/troubleshooting#signature-removed). So the checks depend on the platform. On Cloud
Run a token without a signature is trusted, and its account, audience and time are checked. That rejects an account that
IAM accepts by mistake. It does not protect a function that was made public by mistake, because then the token is
unverified. A present signature is always verified, and outside Cloud Run it is required.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

from promptforge import logs
from promptforge.errors import Unavailable
from promptforge.ports.clock import Clock

CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
CERTIFICATES_SECONDS = 3600.0  # they are published more than a day before their first use
MIN_FETCH_INTERVAL_SECONDS = 60.0  # for any number of unknown keys
FETCH_SECONDS = 5.0
ISSUERS = ("accounts.google.com", "https://accounts.google.com")
SIGNATURE_REMOVED = ".SIGNATURE_REMOVED_BY_GOOGLE"
SKEW_SECONDS = 30

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallerPolicy:
    """The accounts that may call a function, and the names of the function.

    These are its address and the name of the Cloud Run service of this process, empty elsewhere.
    """

    invokers: Callable[[str], frozenset[str]]
    url_of: Callable[[str], str]
    service: str = ""


class TokenVerifier:
    """The caller_auth port: a caller needs a token of one of the function's accounts, issued for this function."""

    def __init__(self, policy: CallerPolicy, clock: Clock, certificates_url: str = CERTIFICATES_URL) -> None:
        self._policy = policy
        self._clock = clock
        self._certificates_url = certificates_url
        self._certificates: Mapping[str, str] = {}
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def rejection_reason(self, function: str, token: str) -> str | None:
        if not token:
            return "no_token"
        try:
            return self._check_claims(function, await self._verify(token))
        except (GoogleAuthError, LookupError, RecursionError, TypeError, ValueError):
            return "invalid_token"

    async def _verify(self, token: str) -> Claims:
        """Return the claims of the token.

        Raises GoogleAuthError and similar errors unless they can be trusted.
        """
        if self._policy.service and token.endswith(SIGNATURE_REMOVED):
            claims: Claims = jwt.decode(token, verify=False)
        else:
            certificates = await self._load_certificates(jwt.decode_header(token).get("kid"))
            claims = jwt.decode(token, certs=certificates, clock_skew_in_seconds=SKEW_SECONDS)
        return claims

    def _check_claims(self, function: str, claims: Claims) -> str | None:
        now = self._clock.now()
        if claims.get("iss") not in ISSUERS:
            return "issuer"
        if not claims["iat"] - SKEW_SECONDS <= now <= claims["exp"] + SKEW_SECONDS:
            return "time"
        if claims.get("email_verified") is not True or claims.get("email") not in self._policy.invokers(function):
            return "account"
        return None if self._is_audience(function, claims.get("aud")) else "audience"

    def _is_audience(self, function: str, audience: object) -> bool:
        """Return whether an audience is the function.

        It is the address of the function, or the address that Cloud Run gives its service. The middle of the latter is
        unknown before the service exists; Eventarc requests tokens for it.
        """
        if audience == self._policy.url_of(function):
            return True
        service = self._policy.service
        pattern = rf"https://{re.escape(service)}-[a-z0-9-]+\.[a-z0-9-]+\.run\.app/?"
        return bool(service) and re.fullmatch(pattern, str(audience)) is not None

    async def _load_certificates(self, key: object) -> Mapping[str, str]:
        """Return Google's certificates, fetched again when they are old or when a key is not among them."""
        async with self._fetching:
            age = self._clock.now() - self._fetched_at
            if age > CERTIFICATES_SECONDS or (key not in self._certificates and age > MIN_FETCH_INTERVAL_SECONDS):
                self._certificates = await self._fetch_certificates()
                self._fetched_at = self._clock.now()
            return self._certificates

    async def _fetch_certificates(self) -> Mapping[str, str]:
        import aiohttp  # not needed on Cloud Run

        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
                session.get(self._certificates_url) as response,
            ):
                certificates: Mapping[str, str] = await response.json(content_type=None)
                return certificates
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            logs.error("certificates_unavailable", error=type(exc).__name__)
            raise Unavailable("certificates", type(exc).__name__) from exc
