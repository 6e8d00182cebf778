"""IAM's signBlob on this machine, with a throw-away key."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.fakes.service_account_keys import private_key
from tests.harness.loopback import loopback

PATH = re.compile(r"/v1/projects/-/serviceAccounts/([^/:]+):signBlob")


class FakeIam:
    """Signs for the accounts it knows. `first` are statuses to answer before that; `seconds` is how long one takes."""

    def __init__(self, *emails: str) -> None:
        self.emails = emails
        self.url = ""
        self.first: list[int] = []
        self.seconds = 0.0
        self.calls = self.in_flight = self.most_in_flight = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            return await self._answer(request)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request) -> web.Response:
        known = PATH.fullmatch(request.path)
        if self.first:
            return web.json_response({"error": {}}, status=self.first.pop(0))
        if request.method != "POST" or not known or known[1] not in self.emails:
            return web.json_response({"error": {"message": "permission denied"}}, status=403)
        payload = base64.b64decode((await request.json())["payload"], validate=True)
        signature = private_key().sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return web.json_response({"keyId": "1", "signedBlob": base64.b64encode(signature).decode()})


@asynccontextmanager
async def fake_iam(*emails: str) -> AsyncIterator[FakeIam]:
    """A running IAM that knows these accounts."""
    iam = FakeIam(*emails)
    async with loopback(iam.handle) as iam.url:
        yield iam
