"""A fake of IAM's signBlob, with a key of the test run."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.fakes.service_account_keys import private_key
from tests.harness.loopback import serve_handler

PATH = re.compile(r"/v1/projects/-/serviceAccounts/([^/:]+):signBlob")


class FakeIam:
    """Signs for the accounts in `emails`.

    The first responses have the statuses in `error_statuses`. Each response takes `delay_seconds`.
    """

    def __init__(self, *emails: str) -> None:
        self.emails = emails
        self.url = ""
        self.error_statuses: list[int] = []
        self.delay_seconds = 0.0
        self.calls = self.in_flight = self.max_in_flight = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Serve one request."""
        self.calls += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay_seconds)
            return await self._respond(request)
        finally:
            self.in_flight -= 1

    async def _respond(self, request: web.Request) -> web.Response:
        account = PATH.fullmatch(request.path)
        if self.error_statuses:
            return web.json_response({"error": {}}, status=self.error_statuses.pop(0))
        if request.method != "POST" or not account or account[1] not in self.emails:
            return web.json_response({"error": {"message": "permission denied"}}, status=403)
        payload = base64.b64decode((await request.json())["payload"], validate=True)
        signature = private_key().sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return web.json_response({"keyId": "1", "signedBlob": base64.b64encode(signature).decode()})


@asynccontextmanager
async def fake_iam(*emails: str) -> AsyncIterator[FakeIam]:
    """Run an IAM that knows these accounts."""
    iam = FakeIam(*emails)
    async with serve_handler(iam.handle) as iam.url:
        yield iam
