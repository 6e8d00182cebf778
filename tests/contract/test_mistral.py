from typing import Any

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from tests.contract.provider_adapters import MISTRAL_ANSWER, HttpAdapter
from tests.contract.provider_server import ProviderServer, json_reply

NOTHING: tuple[Any, ...] = ("", None, [])
REQUEST = CompletionRequest("gpt-x", "canary: why?")


async def outcome(mistral: HttpAdapter, server: ProviderServer, reason: str, content: Any) -> Completion | CallFailure:
    choice = {"finish_reason": reason, "message": {"content": content}}
    server.reply = json_reply(MISTRAL_ANSWER | {"choices": [choice]}, headers={"mistral-correlation-id": "req-1"})
    return await mistral.make().complete(REQUEST, 10.0)


@pytest.mark.parametrize(
    ("reason", "expected", "no_text_code"),
    [
        ("stop", FinishReason.STOP, "provider_bad_response"),
        ("length", FinishReason.LENGTH, "empty_answer"),
        ("model_length", FinishReason.LENGTH, "empty_answer"),
        ("tool_calls", FinishReason.TOOL, "tool_call"),
        ("a reason of tomorrow", FinishReason.OTHER, "provider_bad_response"),
    ],
)
async def test_mistral_finish_reason_maps_to_finish_reason_or_failure(
    mistral: HttpAdapter, server: ProviderServer, reason: str, expected: FinishReason, no_text_code: str
) -> None:
    assert await outcome(mistral, server, reason, "Because.") == Completion(
        "Because.", "gpt-x-2024", 5, 7, expected, "req-1"
    )
    for content in NOTHING:
        failure = await outcome(mistral, server, reason, content)

        assert isinstance(failure, CallFailure)
        assert failure.code == no_text_code


async def test_mistral_finish_reason_error_is_a_failure(mistral: HttpAdapter, server: ProviderServer) -> None:
    failure = await outcome(mistral, server, "error", "half a senten")

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_error")


async def test_mistral_content_pieces_keep_only_text(mistral: HttpAdapter, server: ProviderServer) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    pieces = [thought, {"type": "text", "text": "Be"}, {"type": "text", "text": "cause."}]

    answer = await outcome(mistral, server, "stop", pieces)

    assert isinstance(answer, Completion)
    assert answer.text == "Because."


@pytest.mark.parametrize("content", [7, {}, [7], [{"type": "text", "text": 7}], [{"type": "text"}]])
async def test_mistral_unusual_content_is_a_bad_response(
    mistral: HttpAdapter, server: ProviderServer, content: Any
) -> None:
    failure = await outcome(mistral, server, "stop", content)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNREADABLE, "provider_bad_response")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"message": "Requests rate limit exceeded"}, FailureKind.THROTTLED),
        ({"message": "Wait until the next billing cycle."}, FailureKind.ACCOUNT),
        ({"message": None}, FailureKind.THROTTLED),
        ([], FailureKind.THROTTLED),
        (None, FailureKind.THROTTLED),
    ],
)
async def test_mistral_monthly_limit_is_an_account_failure(
    mistral: HttpAdapter, server: ProviderServer, body: Any, kind: FailureKind
) -> None:
    server.reply = json_reply(body, 429)

    failure = await mistral.make().complete(REQUEST, 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.kind is kind
