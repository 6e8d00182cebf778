import json
from typing import Any

import pytest

from promptforge.domain.formats.params import Params
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from tests.contract.provider_adapters import ANTHROPIC_ANSWER, HttpAdapter
from tests.contract.provider_server import ProviderServer, json_reply

REQUEST = CompletionRequest("gpt-x", "canary: why?")


async def outcome(
    anthropic: HttpAdapter, server: ProviderServer, status: int = 200, **change: Any
) -> Completion | CallFailure:
    body = ANTHROPIC_ANSWER | change if status == 200 else {"type": "error", **change}
    server.reply = json_reply(body, status, {"request-id": "req-1"})
    return await anthropic.make().complete(REQUEST, 10.0)


@pytest.mark.parametrize(
    ("params", "version"),
    [
        (Params(system="s", max_tokens=5, stop=["x"]), "2026-10-21"),
        (Params(temperature=0.0), "2023-06-01"),
        (Params(top_p=0.5), "2023-06-01"),
        (Params(extra={"top_k": 5}), "2023-06-01"),
        (Params(extra={"service_tier": "auto"}), "2026-10-21"),
    ],
)
async def test_anthropic_sampling_parameters_select_the_older_api_version(
    anthropic: HttpAdapter, server: ProviderServer, params: Params, version: str
) -> None:
    await anthropic.make_own().complete(CompletionRequest("gpt-x", "Why?", params=params), 10.0)

    assert server.received[0].headers["anthropic-version"] == version
    assert server.received[0].headers["Authorization"] == f"Bearer {anthropic.api.key}"
    assert "x-api-key" not in server.received[0].headers


@pytest.mark.parametrize("params", [Params(), Params(temperature=0.0)])
async def test_anthropic_other_address_gets_older_version_and_form_of_key(
    anthropic: HttpAdapter, server: ProviderServer, params: Params
) -> None:
    await anthropic.answering().complete(CompletionRequest("gpt-x", "Why?", params=params), 10.0)

    (request,) = server.received
    versions = [value for name, value in request.headers.items() if name.lower() == "anthropic-version"]
    assert versions == ["2023-06-01"]
    assert request.headers["x-api-key"] == anthropic.api.key
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(("given", "sent"), [(None, 16_384), (5, 5), (100_000, 100_000)])
async def test_anthropic_request_without_limit_has_default_max_tokens(
    anthropic: HttpAdapter, server: ProviderServer, given: int | None, sent: int
) -> None:
    await anthropic.answering().complete(CompletionRequest("gpt-x", "Why?", params=Params(max_tokens=given)), 10.0)

    assert json.loads(server.received[0].body)["max_tokens"] == sent


async def test_anthropic_usage_counts_cached_tokens_and_text_excludes_thoughts(
    anthropic: HttpAdapter, server: ProviderServer
) -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 7}
    content = [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "Be"},
        {"type": "text", "text": "cause."},
    ]

    answer = await outcome(anthropic, server, usage=usage, content=content)

    assert answer == Completion("Because.", "gpt-x-2024", 10, 7, FinishReason.STOP, "req-1")


@pytest.mark.parametrize(
    ("reason", "expected", "no_text_code"),
    [
        ("end_turn", FinishReason.STOP, "provider_bad_response"),
        ("stop_sequence", FinishReason.STOP, "provider_bad_response"),
        ("max_tokens", FinishReason.LENGTH, "empty_answer"),
        ("model_context_window_exceeded", FinishReason.LENGTH, "empty_answer"),
        ("refusal", FinishReason.REFUSED, "refused"),
        ("tool_use", FinishReason.TOOL, "tool_call"),
        ("pause_turn", FinishReason.OTHER, "provider_bad_response"),
        ("a reason of tomorrow", FinishReason.OTHER, "provider_bad_response"),
    ],
)
async def test_anthropic_stop_reason_maps_to_finish_reason_or_failure(
    anthropic: HttpAdapter, server: ProviderServer, reason: str, expected: FinishReason, no_text_code: str
) -> None:
    answer = await outcome(anthropic, server, stop_reason=reason)
    failure = await outcome(anthropic, server, stop_reason=reason, content=[])

    assert isinstance(answer, Completion)
    assert answer.finish_reason is expected
    assert isinstance(failure, CallFailure)
    assert failure.code == no_text_code


@pytest.mark.parametrize("error", [None, "x", {}, {"details": 7}, {"details": {"error_code": 7}}, {"message": 7}])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.PROMPT),
        (429, FailureKind.THROTTLED),
        (500, FailureKind.PROVIDER),
        (529, FailureKind.THROTTLED),
    ],
)
async def test_anthropic_unusual_error_is_classified_by_status(
    anthropic: HttpAdapter, server: ProviderServer, error: Any, status: int, kind: FailureKind
) -> None:
    failure = await outcome(anthropic, server, status, error=error)

    assert isinstance(failure, CallFailure)
    assert failure.kind is kind


async def test_anthropic_prompt_about_credit_is_not_an_account_failure(
    anthropic: HttpAdapter, server: ProviderServer
) -> None:
    message = "messages.0: unexpected value in a prompt about an account whose balance is low"

    failure = await outcome(anthropic, server, 400, error={"type": "invalid_request_error", "message": message})

    assert isinstance(failure, CallFailure)
    assert failure.kind is FailureKind.PROMPT
