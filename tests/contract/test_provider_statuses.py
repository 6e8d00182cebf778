"""Error statuses, lost connections and web pages: the same kinds of failures for all providers."""

import pytest

from promptforge.domain.formats.params import Params
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, CompletionRequest
from tests.contract.provider_adapters import HttpAdapter
from tests.contract.provider_replies import error
from tests.contract.provider_server import (
    ProviderServer,
    Reply,
    cut_before_response,
    cut_during_body,
    json_reply,
    raw_reply,
)

REQUEST = CompletionRequest("gpt-x", "canary: why?")
PAGE = b"\n<!DOCTYPE html><html><body>canary: Bad gateway</body></html>"
HTML = {"Content-Type": "text/html"}
FAULTS = [500, 501, 502, 504, *range(520, 529), 408, 409, 499]
THROTTLES = [429, 498, 503, 529]
RETRIED_LATER = [400, 401, 402, 403, 404, 408, 409, 413, 418, 422]


async def failure_of(adapter: HttpAdapter, question: CompletionRequest = REQUEST) -> CallFailure:
    failure = await adapter.make().complete(question, 10.0)
    assert isinstance(failure, CallFailure)
    assert "canary" not in repr(failure)
    return failure


def replies(adapter: HttpAdapter, status: int, headers: dict[str, str] | None = None) -> list[Reply]:
    """Return a reply of the provider, a web page and an empty one."""
    return [
        json_reply(error(adapter.api.name, status, message="canary"), status, headers),
        raw_reply(PAGE, status, HTML | (headers or {})),
        raw_reply(b"", status, headers),
    ]


@pytest.mark.parametrize("status", FAULTS)
async def test_fault_status_is_a_fault_of_the_provider(
    http_adapter: HttpAdapter, server: ProviderServer, status: int
) -> None:
    for reply in replies(http_adapter, status):
        server.reply = reply

        failure = await failure_of(http_adapter)

        assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_error")
        assert failure.error is not None
        assert failure.error.status == status


@pytest.mark.parametrize("status", THROTTLES)
async def test_overload_status_is_throttled(http_adapter: HttpAdapter, server: ProviderServer, status: int) -> None:
    for reply in replies(http_adapter, status):
        server.reply = reply

        failure = await failure_of(http_adapter)

        assert (failure.kind, failure.code) == (FailureKind.THROTTLED, "throttled")


@pytest.mark.parametrize("status", RETRIED_LATER)
async def test_4xx_with_retry_after_is_throttled(
    http_adapter: HttpAdapter, server: ProviderServer, status: int
) -> None:
    for reply in replies(http_adapter, status, {"Retry-After": "3"}):
        server.reply = reply

        failure = await failure_of(http_adapter)

        assert (failure.kind, failure.retry_after_seconds) == (FailureKind.THROTTLED, 3.0)


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_rejected_account_may_be_accepted_later(
    http_adapter: HttpAdapter, server: ProviderServer, status: int
) -> None:
    for reply in replies(http_adapter, status):
        server.reply = reply

        failure = await failure_of(http_adapter)

        assert (failure.kind, failure.code, failure.final) == (FailureKind.ACCOUNT, "provider_account", False)
        assert failure.maybe_request_specific is (status == 403)


@pytest.mark.parametrize("status", [200, 201, 206])
@pytest.mark.parametrize("headers", [HTML, {"Content-Type": "application/json"}])
async def test_web_page_in_place_of_an_answer_is_a_fault_of_the_provider(
    http_adapter: HttpAdapter, server: ProviderServer, status: int, headers: dict[str, str]
) -> None:
    server.reply = raw_reply(PAGE, status, headers)

    failure = await failure_of(http_adapter)

    assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_error")


@pytest.mark.parametrize("reply", [cut_before_response, cut_during_body])
async def test_lost_connection_is_a_fault_of_the_provider(
    http_adapter: HttpAdapter, server: ProviderServer, reply: Reply
) -> None:
    server.reply = reply

    failure = await failure_of(http_adapter)

    assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_connection_lost")
    assert server.url.removeprefix("http://") in failure.message


@pytest.mark.parametrize("content", [b"", b"text", b"{", b"{}", b"[]", b"null", b"data: {}\n\n", b"[" * 50_000])
async def test_complete_reply_without_meaning_is_unreadable(
    http_adapter: HttpAdapter, server: ProviderServer, content: bytes
) -> None:
    server.reply = raw_reply(content)

    failure = await failure_of(http_adapter)

    assert (failure.kind, failure.code) == (FailureKind.UNREADABLE, "provider_bad_response")


async def test_unreadable_reply_is_logged_without_its_text(
    http_adapter: HttpAdapter, server: ProviderServer, log_fields: list[dict[str, object]]
) -> None:
    server.reply = json_reply({"canary: secret": 1, "choice": ["canary"], "output": {"text": "canary", "n": 1}})

    await failure_of(http_adapter)

    (line,) = log_fields
    assert line["shape"] == "choice: list of 1 (string), output: {text: string, n: number}"


async def test_understood_error_is_not_logged_as_unreadable(
    http_adapter: HttpAdapter, server: ProviderServer, log_fields: list[dict[str, object]]
) -> None:
    server.reply = json_reply({"error": {"code": 429, "message": "canary"}})

    await failure_of(http_adapter)

    assert log_fields == []


async def test_request_that_json_cannot_hold_fails_its_prompt(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    question = CompletionRequest("gpt-x", "canary: why?", params=Params(extra={"number": 2**70}))

    failure = await failure_of(http_adapter, question)

    assert (failure.kind, failure.code) == (FailureKind.PROMPT, "prompt_rejected")
    assert server.received == []


async def test_timeout_names_the_settings(http_adapter: HttpAdapter) -> None:
    failure = await http_adapter.hanging().complete(REQUEST, 0.1)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.TIMEOUT, "provider_timeout")
    assert "PROMPTFORGE_CALL_TIMEOUT_SECONDS" in failure.message
    assert "timeout_seconds" in failure.message


async def test_answer_over_maximum_size_is_final(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    server.reply = raw_reply(b" " * 2000 + b"{}")

    failure = await http_adapter.make(max_answer_bytes=1024).complete(REQUEST, 10.0)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.PROMPT, "provider_answer_too_large")


async def test_redirect_message_names_the_base_url(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    server.reply = raw_reply(b"", 308, {"Location": "/elsewhere"})

    failure = await failure_of(http_adapter)

    assert (failure.kind, failure.code) == (FailureKind.UNREADABLE, "provider_bad_response")
    assert "base URL" in failure.message
