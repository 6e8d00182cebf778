from typing import Any

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from tests.contract.provider_adapters import GEMINI_ANSWER, HttpAdapter
from tests.contract.provider_server import ProviderServer, json_reply

REQUEST = CompletionRequest("gpt-x", "canary: why?")
NAMES = "|..|../..|../../v1/files|/|//|a/b|a?b=c|?|#|a#b|%2f|%2F..%2f|%2e%2e|..%2f|;a=b|a&b|a b|\\..\\|\u4e2d|.|a\nb|%"


async def outcome(
    gemini: HttpAdapter, server: ProviderServer, body: Any, status: int = 200
) -> Completion | CallFailure:
    server.reply = json_reply(body, status)
    return await gemini.make().complete(REQUEST, 10.0)


def candidate(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return GEMINI_ANSWER | {"candidates": [{"content": {"parts": list(parts)}, **more}]}


@pytest.mark.parametrize("name", [*NAMES.split("|"), "a:streamGenerateContent?x", "models/..", "models/../x"])
@pytest.mark.parametrize("collection", ["", "models/", "tunedModels/"])
async def test_gemini_model_name_stays_one_path_segment(
    gemini: HttpAdapter, server: ProviderServer, collection: str, name: str
) -> None:
    await gemini.answering().complete(CompletionRequest(collection + name, "Why?"), 10.0)

    (request,) = server.received
    version, place, last = request.path.removeprefix("/").split("/")
    assert version == "v1"
    assert place in ("models", collection.rstrip("/"))
    assert last.endswith(":generateContent")
    assert not {"?", "#"}.intersection(request.path)


async def test_gemini_usage_counts_thoughts_and_text_excludes_them(gemini: HttpAdapter, server: ProviderServer) -> None:
    body = candidate({"text": "Hm.", "thought": True}, {"text": "Be"}, {"text": "cause."}, finishReason="STOP")
    usage = {"promptTokenCount": 5, "toolUsePromptTokenCount": 1, "candidatesTokenCount": 7, "thoughtsTokenCount": 20}

    answer = await outcome(gemini, server, body | {"usageMetadata": usage})

    assert answer == Completion("Because.", "gpt-x-2024", 6, 27, FinishReason.STOP, "resp-1", reasoning_tokens=20)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("CONTINUATION", FinishReason.LENGTH),
        ("SAFETY", FinishReason.FILTERED),
        ("SPII", FinishReason.FILTERED),
        ("A_REASON_OF_TOMORROW", FinishReason.OTHER),
        (None, FinishReason.OTHER),
    ],
)
async def test_gemini_finish_reason_maps_to_finish_reason(
    gemini: HttpAdapter, server: ProviderServer, reason: str | None, expected: FinishReason
) -> None:
    answer = await outcome(gemini, server, candidate({"text": "half a"}, finishReason=reason))

    assert isinstance(answer, Completion)
    assert answer.finish_reason is expected


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ({"promptFeedback": {"blockReason": "JAILBREAK"}}, FailureKind.PROMPT, "filtered"),
        ({"promptFeedback": {}, "candidates": []}, FailureKind.UNREADABLE, "provider_bad_response"),
        ({"candidates": [None]}, FailureKind.UNREADABLE, "provider_bad_response"),
        ({"candidates": "x"}, FailureKind.UNREADABLE, "provider_bad_response"),
        (candidate({"text": 7}), FailureKind.UNREADABLE, "provider_bad_response"),
        (candidate({"text": ""}, finishReason="STOP"), FailureKind.UNREADABLE, "provider_bad_response"),
        (candidate({"text": "Hm.", "thought": True}, finishReason="MAX_TOKENS"), FailureKind.PROMPT, "empty_answer"),
        (candidate({"functionCall": {"name": "f"}}, finishReason="STOP"), FailureKind.PROMPT, "tool_call"),
        (candidate({"text": "a"}, finishReason="PUP_LIMITED_DISABLED"), FailureKind.ACCOUNT, "provider_account"),
        ([], FailureKind.UNREADABLE, "provider_bad_response"),
        (None, FailureKind.UNREADABLE, "provider_bad_response"),
    ],
)
async def test_gemini_reply_without_text_is_a_failure(
    gemini: HttpAdapter, server: ProviderServer, body: Any, kind: FailureKind, code: str
) -> None:
    failure = await outcome(gemini, server, body)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (kind, code)


@pytest.mark.parametrize("details", [None, {}, "x", [None], [7], [{"violations": 7}], [{"violations": [None, {}]}]])
@pytest.mark.parametrize(
    ("status", "kind"), [(429, FailureKind.THROTTLED), (503, FailureKind.THROTTLED), (400, FailureKind.PROMPT)]
)
async def test_gemini_unusual_error_details_are_ignored(
    gemini: HttpAdapter, server: ProviderServer, details: Any, status: int, kind: FailureKind
) -> None:
    failure = await outcome(gemini, server, {"error": {"details": details}}, status)

    assert isinstance(failure, CallFailure)
    assert failure.kind is kind


@pytest.mark.parametrize(
    ("delay", "seconds"), [("37s", 37.0), ("0s", 0.0), ("1.25s", 1.25), ("-3s", None), ("soon", None), (7, None)]
)
async def test_gemini_retry_delay_of_body_is_used(
    gemini: HttpAdapter, server: ProviderServer, delay: Any, seconds: float | None
) -> None:
    failure = await outcome(gemini, server, [{"error": {"details": [{"retryDelay": delay}]}}], 429)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.retry_after_seconds) == (FailureKind.THROTTLED, seconds)
