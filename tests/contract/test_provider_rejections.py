"""Rejected requests: the codes for known causes, and the provider's identifiers on every error."""

from typing import Any

import pytest

from promptforge.domain.formats.params import Params
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, CompletionRequest, ProviderError
from tests.contract.provider_adapters import HttpAdapter, own_provider
from tests.contract.provider_replies import error
from tests.contract.provider_server import ProviderServer, json_reply
from tests.harness.clock import ManualClock

REQUEST = CompletionRequest("gpt-x", "canary: why?", params=Params(temperature=0.5, max_tokens=9))
BAD_REQUEST = "invalid_request_error"
FIELD = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "generation_config.seed"}]}
REASON = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "MODEL_OVERLOADED"}
Row = tuple[str, int, Any, str]


def rows(provider: str, *cases: tuple[int, str, str, str]) -> list[Row]:
    """Return cases of status, name, message and code."""
    return [(provider, status, error(provider, status, name, message), code) for status, name, message, code in cases]


KNOWN: list[Row] = [
    *rows(
        "openai",
        (400, "context_length_exceeded", "", "context_too_long"),
        (400, "x", "This model's maximum context length is 8 tokens. However, you requested 9.", "context_too_long"),
        (400, "exceed_context_size_error", "", "context_too_long"),
        (404, "model_not_found", "", "model_not_found"),
        (404, "x", "The model `gpt-x` does not exist.", "model_not_found"),
        (404, "x", "model 'gpt-x' not found, try pulling it first", "model_not_found"),
        (400, "x", "gpt-x is not a valid model ID", "model_not_found"),
        (404, "x", "Not Found", "prompt_rejected"),
        (400, "unsupported_parameter", "", "unsupported_parameter"),
        (400, "unsupported_value", "", "unsupported_parameter"),
        (400, "x", "'temperature' does not support 0.5 with this model.", "unsupported_parameter"),
        (400, "content_filter", "", "filtered"),
        (400, "content_policy_violation", "", "filtered"),
        (400, "invalid_prompt", "", "filtered"),
        (403, "content_filter", "", "filtered"),
        (403, "x", "Your input was flagged.", "filtered"),
        (403, "x", "Your chosen model requires moderation.", "filtered"),
        (403, "x", "Your account was flagged for a review of its requests.", "provider_account"),
        (403, "x", "", "provider_account"),
        (400, "x", "", "prompt_rejected"),
        (413, "x", "", "prompt_rejected"),
        (422, "x", "", "prompt_rejected"),
    ),
    ("openai", 403, {"error": {"code": 403, "message": "No.", "metadata": {"reasons": ["violence"]}}}, "filtered"),
    ("openai", 400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}, "filtered"),
    (
        "openai",
        422,
        {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]},
        "unsupported_parameter",
    ),
    ("openai", 404, {"detail": "Not Found"}, "prompt_rejected"),
    ("openai", 400, {"object": "error", "message": "maximum context length", "code": 400}, "context_too_long"),
    ("openai", 404, {"error": "model 'gpt-x' not found"}, "model_not_found"),
    *rows(
        "anthropic",
        (400, BAD_REQUEST, "prompt is too long: 210000 tokens > 200000 maximum", "context_too_long"),
        (404, "not_found_error", "model: gpt-x", "model_not_found"),
        (400, BAD_REQUEST, "temperature: Extra inputs are not permitted", "unsupported_parameter"),
        (400, BAD_REQUEST, "`temperature` and `top_p` cannot both be specified.", "unsupported_parameter"),
        (400, BAD_REQUEST, "`temperature` is deprecated for this model.", "unsupported_parameter"),
        (400, BAD_REQUEST, "Output blocked by content filtering policy", "filtered"),
        (400, BAD_REQUEST, "max_tokens: 99999 > 64000, which is the maximum", "prompt_rejected"),
        (400, BAD_REQUEST, "messages.0.role: unexpected value", "prompt_rejected"),
        (413, "request_too_large", "", "prompt_rejected"),
        (403, "permission_error", "", "provider_account"),
    ),
    *rows(
        "gemini",
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (9) exceeds the maximum number of tokens.",
            "context_too_long",
        ),
        (404, "NOT_FOUND", "models/gpt-x is not found for API version v1", "model_not_found"),
        (400, "INVALID_ARGUMENT", 'Unknown name "temperature": Cannot find field.', "unsupported_parameter"),
        (400, "INVALID_ARGUMENT", "", "prompt_rejected"),
        (403, "PERMISSION_DENIED", "The prompt was blocked by the content policy.", "filtered"),
        (403, "PERMISSION_DENIED", "", "provider_account"),
    ),
    *rows(
        "mistral",
        (400, BAD_REQUEST, "Prompt contains 9 tokens, too large for model with 8 maximum context", "context_too_long"),
        (400, "invalid_model", "Invalid model: gpt-x", "model_not_found"),
        (404, "x", "Model gpt-x does not exist", "model_not_found"),
        (422, "x", "", "prompt_rejected"),
        (403, "moderation_error", "", "filtered"),
        (403, "x", "", "provider_account"),
    ),
    (
        "mistral",
        422,
        {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}},
        "unsupported_parameter",
    ),
]
IDENTIFIERS: list[tuple[str, int, Any, ProviderError]] = [
    (
        "openai",
        400,
        {"error": {"message": "canary", "type": BAD_REQUEST, "param": "messages[0].content", "code": "too_odd"}},
        ProviderError(400, "too_odd", BAD_REQUEST, "messages.0.content"),
    ),
    ("openai", 500, {"error": {"code": 500, "type": None}}, ProviderError(500)),
    ("openai", 400, {"error": {"code": "None", "type": "null", "param": ""}}, ProviderError(400)),
    ("openai", 400, {"error": {"code": "canary: text", "type": "x" * 65, "param": ["a"]}}, ProviderError(400)),
    ("openai", 400, {"error": {"code": "canary\n", "type": True, "param": {}}}, ProviderError(400)),
    (
        "openai",
        422,
        {"detail": [{"type": "missing", "loc": ["body", "seed"], "msg": "canary"}]},
        ProviderError(422, "missing", None, "seed"),
    ),
    (
        "anthropic",
        429,
        error("anthropic", 429, "rate_limit_error", details={"error_code": "ramp_limit_exceeded"}),
        ProviderError(429, "ramp_limit_exceeded", "rate_limit_error"),
    ),
    (
        "anthropic",
        400,
        error("anthropic", 400, BAD_REQUEST, "max_tokens: canary"),
        ProviderError(400, None, BAD_REQUEST, "max_tokens"),
    ),
    ("anthropic", 400, error("anthropic", 400, BAD_REQUEST, "canary: text"), ProviderError(400, None, BAD_REQUEST)),
    (
        "gemini",
        400,
        error("gemini", 400, "INVALID_ARGUMENT", details=[FIELD]),
        ProviderError(400, None, "INVALID_ARGUMENT", "generation_config.seed"),
    ),
    (
        "gemini",
        503,
        [error("gemini", 503, "UNAVAILABLE", details=[REASON])],
        ProviderError(503, "MODEL_OVERLOADED", "UNAVAILABLE"),
    ),
    ("mistral", 401, error("mistral", 401, "unauthorized"), ProviderError(401, "1300", "unauthorized")),
    ("mistral", 500, b"<html>", ProviderError(500)),
]
QUOTAS = {
    "openai": (429, error("openai", 429, "insufficient_quota")),
    "anthropic": (
        429,
        error("anthropic", 429, "rate_limit_error", details={"error_code": "contract_spend_limit_reached"}),
    ),
    "gemini": (
        429,
        error("gemini", 429, "RESOURCE_EXHAUSTED", details=[{"violations": [{"quotaId": "RequestsPerDay"}]}]),
    ),
    "mistral": (429, error("mistral", 429, message="Wait until the next billing cycle.")),
}


async def failure_of(adapter: HttpAdapter, body: Any, status: int) -> CallFailure:
    adapter.server.reply = json_reply(body, status)
    failure = await adapter.make().complete(REQUEST, 10.0)
    assert isinstance(failure, CallFailure)
    assert "canary" not in repr(failure)
    return failure


@pytest.mark.parametrize(("http_adapter", "status", "body", "code"), KNOWN, indirect=["http_adapter"])
async def test_rejection_has_the_code_of_its_cause(
    http_adapter: HttpAdapter, status: int, body: Any, code: str
) -> None:
    failure = await failure_of(http_adapter, body, status)

    kind = FailureKind.ACCOUNT if code == "provider_account" else FailureKind.PROMPT
    assert (failure.kind, failure.code) == (kind, code)
    assert f"HTTP {status}" in failure.message


@pytest.mark.parametrize(("http_adapter", "status", "body", "identifiers"), IDENTIFIERS, indirect=["http_adapter"])
async def test_error_has_the_identifiers_of_the_provider(
    http_adapter: HttpAdapter, status: int, body: Any, identifiers: ProviderError
) -> None:
    body = body if not isinstance(body, bytes) else None

    assert (await failure_of(http_adapter, body, status)).error == identifiers


async def test_message_of_a_rejection_has_code_and_parameter(openai: HttpAdapter) -> None:
    body = error("openai", 400, "unsupported_value", param="temperature")

    message = (await failure_of(openai, body, 400)).message

    assert "unsupported_value" in message
    assert "temperature" in message


@pytest.mark.parametrize("part", [slice(None), slice(3, 20)])
async def test_error_never_repeats_the_key(http_adapter: HttpAdapter, part: slice) -> None:
    leaked = http_adapter.api.key.replace("canary-", "c-")
    settings_key = http_adapter.api.key[part]
    body = {"error": {"code": settings_key, "type": settings_key, "param": settings_key, "message": leaked}}

    for status in (400, 401, 429, 500):
        failure = await failure_of(http_adapter, body, status)

        assert failure.error == ProviderError(status)


@pytest.mark.parametrize("key", ["x", "ollama"])
async def test_short_key_hides_no_identifier(server: ProviderServer, key: str) -> None:
    server.reply = json_reply(error("openai", 400, "context_length_ollama_x", param=key), 400)
    provider = own_provider("openai", server.url, key, ManualClock())

    failure = await provider.complete(REQUEST, 10.0)
    await provider.close()

    assert isinstance(failure, CallFailure)
    assert failure.error == ProviderError(400, "context_length_ollama_x", "t", None)


async def test_exhausted_quota_is_final(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    status, body = QUOTAS[http_adapter.api.name]

    failure = await failure_of(http_adapter, body, status)

    assert (failure.kind, failure.code, failure.final) == (FailureKind.ACCOUNT, "provider_account", True)


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_plain_rejection_of_the_account_is_not_final(http_adapter: HttpAdapter, status: int) -> None:
    names = {"anthropic": {401: "authentication_error", 402: "billing_error", 403: "permission_error"}}
    name = names.get(http_adapter.api.name, {}).get(status, "x")

    failure = await failure_of(http_adapter, error(http_adapter.api.name, status, name), status)

    assert (failure.kind, failure.final) == (FailureKind.ACCOUNT, False)
