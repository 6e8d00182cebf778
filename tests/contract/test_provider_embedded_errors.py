"""Errors inside a reply with a status of success, and generations that broke off."""

from typing import Any

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from tests.contract.provider_adapters import HttpAdapter
from tests.contract.provider_replies import CHAT, answer, error
from tests.contract.provider_server import json_reply

REQUEST = CompletionRequest("gpt-x", "canary: why?")
KINDS = [
    (400, FailureKind.PROMPT, "prompt_rejected"),
    (401, FailureKind.ACCOUNT, "provider_account"),
    (402, FailureKind.ACCOUNT, "provider_account"),
    (403, FailureKind.ACCOUNT, "provider_account"),
    (429, FailureKind.THROTTLED, "throttled"),
    (500, FailureKind.PROVIDER, "provider_error"),
    (502, FailureKind.PROVIDER, "provider_error"),
    (503, FailureKind.THROTTLED, "throttled"),
    (524, FailureKind.PROVIDER, "provider_error"),
]
NAMES = {
    "openai": [
        ("rate_limit_exceeded", FailureKind.THROTTLED),
        ("server_error", FailureKind.PROVIDER),
        ("insufficient_quota", FailureKind.ACCOUNT),
        ("invalid_api_key", FailureKind.ACCOUNT),
        ("context_length_exceeded", FailureKind.PROMPT),
        ("model_not_found", FailureKind.PROMPT),
        ("a code of tomorrow", FailureKind.PROVIDER),
    ],
    "anthropic": [
        ("overloaded_error", FailureKind.THROTTLED),
        ("rate_limit_error", FailureKind.THROTTLED),
        ("api_error", FailureKind.PROVIDER),
        ("timeout_error", FailureKind.PROVIDER),
        ("billing_error", FailureKind.ACCOUNT),
        ("authentication_error", FailureKind.ACCOUNT),
        ("permission_error", FailureKind.ACCOUNT),
        ("invalid_request_error", FailureKind.PROMPT),
        ("not_found_error", FailureKind.PROMPT),
        ("request_too_large", FailureKind.PROMPT),
    ],
    "mistral": [
        ("rate_limited", FailureKind.THROTTLED),
        ("service_tier_capacity_exceeded", FailureKind.THROTTLED),
        ("internal_server_error", FailureKind.PROVIDER),
        ("unauthorized", FailureKind.ACCOUNT),
        ("invalid_request_error", FailureKind.PROMPT),
        ("invalid_model", FailureKind.PROMPT),
    ],
    "gemini": [
        ("RESOURCE_EXHAUSTED", FailureKind.THROTTLED),
        ("UNAVAILABLE", FailureKind.THROTTLED),
        ("INTERNAL", FailureKind.PROVIDER),
        ("DEADLINE_EXCEEDED", FailureKind.PROVIDER),
        ("UNAUTHENTICATED", FailureKind.ACCOUNT),
        ("PERMISSION_DENIED", FailureKind.ACCOUNT),
        ("INVALID_ARGUMENT", FailureKind.PROMPT),
        ("NOT_FOUND", FailureKind.PROMPT),
    ],
}
BROKEN = ["error", "abort", "aborted", "cancelled", "canceled", "ERROR", "insufficient_system_resource"]


async def outcome(adapter: HttpAdapter, body: Any, status: int = 200) -> Completion | CallFailure:
    adapter.server.reply = json_reply(body, status)
    result = await adapter.make().complete(REQUEST, 10.0)
    assert "canary" not in repr(result)
    return result


async def failure_of(adapter: HttpAdapter, body: Any, status: int = 200) -> CallFailure:
    failure = await outcome(adapter, body, status)
    assert isinstance(failure, CallFailure)
    return failure


def in_envelopes(adapter: HttpAdapter, fault: Any) -> list[Any]:
    """Return the error alone, and beside an answer that is missing, null or empty."""
    field = {"anthropic": "content", "gemini": "candidates"}.get(adapter.api.name, "choices")
    return [{"error": fault}, {"id": "g", field: None, "error": fault}, {field: [], "error": fault, "usage": None}]


@pytest.mark.parametrize(("status", "kind", "code"), KINDS)
@pytest.mark.parametrize("form", [int, str, float])
async def test_error_code_in_a_reply_is_read_as_a_status(
    http_adapter: HttpAdapter, status: int, kind: FailureKind, code: str, form: type
) -> None:
    for body in in_envelopes(http_adapter, {"code": form(status), "message": "canary"}):
        for success in (200, 201):
            failure = await failure_of(http_adapter, body, success)

            assert (failure.kind, failure.code) == (kind, code)
            assert failure.error is not None
            assert failure.error.status == status


@pytest.mark.parametrize(
    ("http_adapter", "name", "kind"),
    [(provider, name, kind) for provider, rows in NAMES.items() for name, kind in rows],
    indirect=["http_adapter"],
)
async def test_error_name_in_a_reply_is_read_as_a_status(
    http_adapter: HttpAdapter, name: str, kind: FailureKind
) -> None:
    body = error(http_adapter.api.name, 200, name, "canary")
    if http_adapter.api.name == "gemini":
        del body["error"]["code"]

    assert (await failure_of(http_adapter, body)).kind is kind


@pytest.mark.parametrize("fault", ["canary: overloaded", {"message": "canary"}, {"code": None}, {"code": 17}])
async def test_error_without_known_code_in_a_reply_is_a_fault_of_the_provider(
    http_adapter: HttpAdapter, fault: Any
) -> None:
    for body in in_envelopes(http_adapter, fault):
        failure = await failure_of(http_adapter, body)

        assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_error")


@pytest.mark.parametrize("fault", [None, {}, "", False])
async def test_answer_beside_an_empty_error_is_an_answer(http_adapter: HttpAdapter, fault: Any) -> None:
    assert isinstance(await outcome(http_adapter, http_adapter.api.answer | {"error": fault}), Completion)


@pytest.mark.parametrize("reason", BROKEN)
@pytest.mark.parametrize("text", ["The first half of the ans", ""])
async def test_broken_generation_is_a_fault_of_the_provider(http_adapter: HttpAdapter, reason: str, text: str) -> None:
    failure = await failure_of(http_adapter, answer(http_adapter.api.name, text, reason))

    assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_error")
    assert (failure.input_tokens, failure.output_tokens) == (5, 7)


@pytest.mark.parametrize("code", [502, "502", 429, 400, None])
async def test_error_beside_a_text_is_a_broken_generation(http_adapter: HttpAdapter, code: Any) -> None:
    name, fault = http_adapter.api.name, {"code": code, "message": "canary"}
    bodies = [answer(name, "The first half") | {"error": fault}]
    if name != "anthropic":  # it has no choices
        bodies.append(answer(name, "The first half", error=fault))

    for body in bodies:
        failure = await failure_of(http_adapter, body)

        assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_error")


@pytest.mark.parametrize("http_adapter", [*CHAT, "gemini"], indirect=True)
async def test_error_of_a_choice_without_text_is_read_as_a_status(http_adapter: HttpAdapter) -> None:
    body = answer(http_adapter.api.name, "", error={"code": 429, "message": "canary"})

    assert (await failure_of(http_adapter, body)).kind is FailureKind.THROTTLED


@pytest.mark.parametrize(
    ("word", "kept"), [("eos_token", "eos_token"), ("a reason of tomorrow", None), ("x" * 65, None), (None, None)]
)
async def test_unknown_finish_reason_is_kept_if_it_is_a_name(
    http_adapter: HttpAdapter, word: str | None, kept: str | None
) -> None:
    body = answer(http_adapter.api.name, "Because.", word or "")

    completion = await outcome(http_adapter, body)

    assert isinstance(completion, Completion)
    assert (completion.finish_reason, completion.provider_finish_reason) == (FinishReason.OTHER, kept)


async def test_known_finish_reason_has_no_other_word(http_adapter: HttpAdapter) -> None:
    completion = await outcome(http_adapter, http_adapter.api.answer)

    assert isinstance(completion, Completion)
    assert (completion.finish_reason, completion.provider_finish_reason) == (FinishReason.STOP, None)
