from email.utils import formatdate

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, CompletionRequest
from tests.contract.provider_adapters import OPENAI_KEY, HttpAdapter
from tests.contract.provider_server import ProviderServer, json_reply, raw_reply

CANARY = "canary: the text of the server"
REQUEST = CompletionRequest("gpt-x", "canary: the text of the prompt")
ERROR = {"error": {"message": f"{CANARY} {OPENAI_KEY[:8]}", "type": CANARY, "code": CANARY, "param": CANARY}}
OUT_OF_FUNDS = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
]


async def failure_of(openai: HttpAdapter, question: CompletionRequest = REQUEST) -> CallFailure:
    failure = await openai.make().complete(question, 10.0)
    assert isinstance(failure, CallFailure)
    assert "canary" not in repr(failure)
    return failure


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, FailureKind.ACCOUNT, "provider_account"),
        (402, FailureKind.ACCOUNT, "provider_account"),
        (403, FailureKind.ACCOUNT, "provider_account"),
        (429, FailureKind.THROTTLED, "throttled"),
        (503, FailureKind.THROTTLED, "throttled"),
        (400, FailureKind.PROMPT, "prompt_rejected"),
        (404, FailureKind.PROMPT, "prompt_rejected"),
        (413, FailureKind.PROMPT, "prompt_rejected"),
        (422, FailureKind.PROMPT, "prompt_rejected"),
        (408, FailureKind.PROVIDER, "provider_error"),
        (409, FailureKind.PROVIDER, "provider_error"),
        (500, FailureKind.PROVIDER, "provider_error"),
        (502, FailureKind.PROVIDER, "provider_error"),
        (504, FailureKind.PROVIDER, "provider_error"),
        (499, FailureKind.PROVIDER, "provider_error"),
        (529, FailureKind.THROTTLED, "throttled"),
        (498, FailureKind.THROTTLED, "throttled"),
        (300, FailureKind.UNREADABLE, "provider_bad_response"),
        (304, FailureKind.UNREADABLE, "provider_bad_response"),
        (399, FailureKind.UNREADABLE, "provider_bad_response"),
        (418, FailureKind.PROMPT, "prompt_rejected"),
    ],
)
async def test_openai_status_maps_to_failure_kind(
    openai: HttpAdapter, server: ProviderServer, status: int, kind: FailureKind, code: str
) -> None:
    for reply in (json_reply(ERROR, status), raw_reply(CANARY.encode(), status), raw_reply(b"", status)):
        server.reply = reply

        failure = await failure_of(openai)

        assert (failure.kind, failure.code) == (kind, code)
    assert len(server.received) == 3


@pytest.mark.parametrize("code", OUT_OF_FUNDS)
@pytest.mark.parametrize("field", ["code", "type"])
async def test_openai_quota_error_is_an_account_failure(
    openai: HttpAdapter, server: ProviderServer, code: str, field: str
) -> None:
    server.reply = json_reply({"error": {"message": CANARY, field: code}}, 429, {"Retry-After": "1"})

    failure = await failure_of(openai)

    assert (failure.kind, failure.code) == (FailureKind.ACCOUNT, "provider_account")


@pytest.mark.parametrize("code", ["server_is_overloaded", "slow_down"])
async def test_openai_overloaded_error_is_throttled(openai: HttpAdapter, server: ProviderServer, code: str) -> None:
    server.reply = json_reply({"error": {"code": code}}, 503)

    failure = await failure_of(openai)

    assert (failure.kind, failure.code, failure.retry_after_seconds) == (FailureKind.THROTTLED, "throttled", None)


@pytest.mark.parametrize("body", [None, [], "x", {}, {"error": None}, {"error": "x"}, {"error": {"code": 7}}])
async def test_openai_429_with_unusual_body_is_throttled(
    openai: HttpAdapter, server: ProviderServer, body: object
) -> None:
    server.reply = json_reply(body, 429)

    assert (await failure_of(openai)).kind is FailureKind.THROTTLED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-1", None),
        ("NaN", None),
        ("1e9", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        (None, None),
    ],
)
async def test_openai_retry_after_header_is_reported(
    openai: HttpAdapter, server: ProviderServer, value: str | None, seconds: float | None
) -> None:
    server.reply = json_reply(ERROR, 429, {"retry-after": value} if value else None)

    failure = await failure_of(openai)

    assert (failure.kind, failure.retry_after_seconds) == (FailureKind.THROTTLED, seconds)


async def test_openai_503_with_retry_after_is_throttled(openai: HttpAdapter, server: ProviderServer) -> None:
    server.reply = raw_reply(b"", 503, {"Retry-After": "7"})

    failure = await failure_of(openai)

    assert (failure.kind, failure.retry_after_seconds) == (FailureKind.THROTTLED, 7.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "NaN"}, None),
        ({"retry-after-ms": "inf", "retry-after": "7"}, 7.0),
    ],
)
async def test_openai_retry_after_ms_has_precedence(
    openai: HttpAdapter, server: ProviderServer, headers: dict[str, str], seconds: float | None
) -> None:
    server.reply = json_reply(ERROR, 429, headers)

    assert (await failure_of(openai)).retry_after_seconds == seconds


async def test_openai_retry_after_accepts_date(openai: HttpAdapter, server: ProviderServer) -> None:
    server.reply = json_reply(ERROR, 429, {"Retry-After": formatdate(openai.clock.now() + 30, usegmt=True)})

    wait = (await failure_of(openai)).retry_after_seconds

    assert wait == 30


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_openai_redirect_is_not_followed(openai: HttpAdapter, server: ProviderServer, status: int) -> None:
    other_server = ProviderServer()
    await other_server.start()
    server.reply = raw_reply(b"", status, {"Location": other_server.url + "/v1/chat/completions"})
    try:
        failure = await failure_of(openai)
    finally:
        await other_server.close()

    assert (failure.kind, failure.code) == (FailureKind.UNREADABLE, "provider_bad_response")
    assert other_server.received == []


async def test_openai_rejected_key_message_names_variable(openai: HttpAdapter, server: ProviderServer) -> None:
    server.reply = json_reply(ERROR, 401)

    assert "OPENAI_API_KEY" in (await failure_of(openai)).message
