"""The authorization of event functions: valid and invalid tokens, as received on Cloud Run and elsewhere."""

import io
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from promptforge.adapters.clock import SystemClock
from promptforge.adapters.gcp.caller_auth import CallerPolicy, TokenVerifier
from promptforge.bootstrap import set_current
from promptforge.engine.load_functions import load_function
from promptforge.errors import Unavailable
from promptforge.settings import Settings
from tests.fakes.google_tokens import TokenIssuer, serve_issuer, without_signature
from tests.harness.context import with_adapters
from tests.harness.in_process import in_process_stack

TASKS, PUSH, TIMER = (f"pf-{name}@demo.iam.gserviceaccount.com" for name in ("tasks", "push", "timer"))
URL = "https://here-demo.cloudfunctions.net/promptforge-worker"
SETTINGS = Settings(
    task_account=TASKS,
    push_account=PUSH,
    timer_account=TIMER,
    function_url="https://here-demo.cloudfunctions.net/promptforge-{function}",
)
POLICY = CallerPolicy(SETTINGS.invokers, SETTINGS.url_of)
ON_CLOUD_RUN = replace(POLICY, service="promptforge-worker")
HOUR = 3600


@pytest.fixture(scope="module")
def key() -> TokenIssuer:
    """Return one key for all tests, because its generation is slow."""
    return TokenIssuer()


@pytest.fixture
async def google(key: TokenIssuer) -> AsyncIterator[TokenIssuer]:
    async with serve_issuer(replace(key)) as running:
        yield running


def verifier(google: TokenIssuer, policy: CallerPolicy = POLICY) -> TokenVerifier:
    return TokenVerifier(policy, SystemClock(), google.certificates_url)


@pytest.mark.parametrize("email", [TASKS, PUSH])
async def test_caller_auth_accepts_configured_accounts(google: TokenIssuer, email: str) -> None:
    token = google.token(email, URL)

    assert await verifier(google).rejection_reason("worker", token) is None
    assert await verifier(google, ON_CLOUD_RUN).rejection_reason("worker", token) is None
    assert await verifier(google, ON_CLOUD_RUN).rejection_reason("worker", without_signature(token)) is None


@pytest.mark.parametrize(
    ("email", "audience", "claims", "reason"),
    [
        (TIMER, URL, {}, "account"),
        ("evil@demo.iam.gserviceaccount.com", URL, {}, "account"),
        (TASKS, URL, {"email": None}, "account"),
        (TASKS, URL, {"email_verified": False}, "account"),
        (TASKS, URL, {"email_verified": None}, "account"),
        (TASKS, URL.replace("worker", "sweeper"), {}, "audience"),
        (TASKS, "https://promptforge-worker.evil.run.app", {}, "audience"),
        (TASKS, URL, {"aud": None}, "audience"),
        (TASKS, URL, {"aud": [URL]}, "audience"),
        (TASKS, URL, {"iss": "https://evil.example"}, "issuer"),
        (TASKS, URL, {"iat": int(time.time()) - 2 * HOUR, "exp": int(time.time()) - HOUR}, "time"),
        (TASKS, URL, {"iat": int(time.time()) + HOUR}, "time"),
        (TASKS, URL, {"exp": None}, "invalid_token"),
        (TASKS, URL, {"exp": "never"}, "invalid_token"),
        (TASKS, URL, {"email": [TASKS]}, "invalid_token"),
    ],
)
async def test_caller_auth_rejects_other_accounts(
    google: TokenIssuer, email: str, audience: str, claims: Mapping[str, object], reason: str
) -> None:
    token = google.token(email, audience, **claims)

    assert await verifier(google, ON_CLOUD_RUN).rejection_reason("worker", without_signature(token)) == reason
    # for a signed token, Google's library checks the times first
    assert await verifier(google).rejection_reason("worker", token) in (reason, "invalid_token")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "\u00fc.x.y", "e30.e30.e30", "W10.W10.W10"])
async def test_caller_auth_rejects_invalid_tokens(google: TokenIssuer, token: str) -> None:
    assert await verifier(google).rejection_reason("worker", token) in ("no_token", "invalid_token")
    assert await verifier(google, ON_CLOUD_RUN).rejection_reason("worker", without_signature(token)) in (
        "invalid_token",
        "issuer",
    )


async def test_caller_auth_rejects_token_of_unknown_key(google: TokenIssuer) -> None:
    forged = TokenIssuer().token(TASKS, URL)

    assert await verifier(google).rejection_reason("worker", forged) == "invalid_token"
    assert await verifier(google, ON_CLOUD_RUN).rejection_reason("worker", forged) == "invalid_token"


async def test_caller_auth_rejects_unsigned_token_outside_cloud_run(google: TokenIssuer) -> None:
    assert (
        await verifier(google).rejection_reason("worker", without_signature(google.token(TASKS, URL)))
        == "invalid_token"
    )


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        ("https://promptforge-worker-et73rt2k6a-uw.a.run.app", None),
        ("https://promptforge-worker-123456789.us-west1.run.app", None),
        ("https://promptforge-splitter-et73rt2k6a-uw.a.run.app", "audience"),
        ("https://promptforge-worker-et73rt2k6a-uw.a.run.app.evil.com", "audience"),
        ("https://promptforge-worker-x.evil.com/.a.run.app", "audience"),
    ],
)
async def test_caller_auth_accepts_own_service_address_as_audience(
    google: TokenIssuer, audience: str, reason: str | None
) -> None:
    token = without_signature(google.token(PUSH, audience))

    assert await verifier(google, ON_CLOUD_RUN).rejection_reason("worker", token) == reason


async def test_caller_auth_fetches_certificates_once(google: TokenIssuer) -> None:
    one, other_issuer = verifier(google), TokenIssuer()
    for _ in range(3):
        assert await one.rejection_reason("worker", google.token(TASKS, URL)) is None
        assert await one.rejection_reason("worker", other_issuer.token(TASKS, URL)) == "invalid_token"

    assert google.certificate_requests == 1


async def test_caller_auth_without_certificates_raises_unavailable(google: TokenIssuer) -> None:
    google.unavailable = True
    one = verifier(google)
    with pytest.raises(Unavailable):
        await one.rejection_reason("worker", google.token(TASKS, URL))

    google.unavailable = False
    assert await one.rejection_reason("worker", google.token(TASKS, URL)) is None


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Capture the log lines of the product."""
    logger = logging.getLogger("promptforge")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 403),
        ([("authorization", "Bearer {good}")], 204),
        ([("authorization", "bearer {good}")], 204),
        ([("authorization", "{good}")], 403),
        ([("authorization", "Basic {good}")], 403),
        ([("authorization", "Bearer {bad}")], 403),
        ([("authorization", "Bearer {good}"), ("authorization", "Bearer {good}")], 403),
        ([("x-serverless-authorization", "Bearer {good}")], 204),
        ([("x-serverless-authorization", "Bearer {bad}"), ("authorization", "Bearer {good}")], 403),
        ([("x-serverless-authorization", "Bearer {good}"), ("authorization", "Bearer {bad}")], 204),
    ],
)
async def test_event_endpoint_uses_token_that_iam_checked(
    google: TokenIssuer, tmp_path: Path, log: io.StringIO, headers: list[tuple[str, str]], status: int
) -> None:
    good, bad = google.token(TASKS, URL), google.token(TIMER, URL)
    async with in_process_stack(tmp_path) as one:
        set_current(with_adapters(one.context, caller_auth=verifier(google)))
        transport = httpx.ASGITransport(load_function("worker"))
        async with httpx.AsyncClient(transport=transport, base_url="http://function") as client:
            sent = [(name, value.format(good=good, bad=bad)) for name, value in headers]
            reply = await client.post("/", headers=sent, content=b"{}")

    assert reply.status_code == status
    for private in (good, bad, TIMER, TASKS, "account", "no_token"):
        assert private not in reply.text
    assert good not in log.getvalue()
    assert ("caller_rejected" in log.getvalue()) == (status == 403)
