"""OpenAI answers that are easily misclassified."""

from typing import Any

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from tests.contract.provider_adapters import HttpAdapter
from tests.contract.provider_server import ProviderServer, json_reply

REQUEST = CompletionRequest("m", "p")


async def outcome(openai: HttpAdapter, server: ProviderServer, **choice: Any) -> Completion | CallFailure:
    server.reply = json_reply({"choices": [choice]}, headers={"x-request-id": "req-1"})
    return await openai.make().complete(REQUEST, 10.0)


@pytest.mark.parametrize("content", ["", None])
@pytest.mark.parametrize(
    ("reason", "code"),
    [("content_filter", "filtered"), ("length", "empty_answer"), ("tool_calls", "tool_call")],
)
async def test_openai_empty_answer_is_final(
    openai: HttpAdapter, server: ProviderServer, content: str | None, reason: str, code: str
) -> None:
    failure = await outcome(openai, server, finish_reason=reason, message={"content": content})

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.PROMPT, code)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.FILTERED),
        ("tool_calls", FinishReason.TOOL),
        ("a reason of tomorrow", FinishReason.OTHER),
        (None, FinishReason.OTHER),
    ],
)
async def test_openai_finish_reason_maps_to_finish_reason(
    openai: HttpAdapter, server: ProviderServer, reason: str | None, expected: FinishReason
) -> None:
    answer = await outcome(openai, server, finish_reason=reason, message={"content": "half a senten"})

    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.request_id) == ("half a senten", expected, "req-1")


@pytest.mark.parametrize("reason", ["stop", "a reason of tomorrow", None])
async def test_openai_empty_answer_without_reason_is_a_bad_response(
    openai: HttpAdapter, server: ProviderServer, reason: str | None
) -> None:
    failure = await outcome(openai, server, finish_reason=reason, message={"content": ""})

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNREADABLE, "provider_bad_response")


@pytest.mark.parametrize("refusal", ["", None])
async def test_openai_empty_refusal_is_ignored(
    openai: HttpAdapter, server: ProviderServer, refusal: str | None
) -> None:
    assert isinstance(await outcome(openai, server, message={"content": "text", "refusal": refusal}), Completion)


@pytest.mark.parametrize("error", [{"code": "other", "type": "insufficient_quota"}, {"code": "insufficient_quota"}])
async def test_openai_quota_error_is_read_from_code_and_type(
    openai: HttpAdapter, server: ProviderServer, error: dict[str, str]
) -> None:
    server.reply = json_reply({"error": error}, 429)

    failure = await openai.make().complete(REQUEST, 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.kind is FailureKind.ACCOUNT


@pytest.mark.parametrize(
    ("status", "headers", "error", "kind"),
    [
        (503, {}, {}, FailureKind.THROTTLED),
        (503, {"retry-after": "3"}, {}, FailureKind.THROTTLED),
        (503, {}, {"code": "slow_down"}, FailureKind.THROTTLED),
        (500, {"retry-after": "3"}, {}, FailureKind.PROVIDER),
    ],
)
async def test_openai_503_is_throttled(
    openai: HttpAdapter,
    server: ProviderServer,
    status: int,
    headers: dict[str, str],
    error: dict[str, str],
    kind: FailureKind,
) -> None:
    server.reply = json_reply({"error": error}, status, headers)

    failure = await openai.make().complete(REQUEST, 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.kind is kind
