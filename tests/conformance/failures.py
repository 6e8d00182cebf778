"""Replies other than a valid answer: the outcome of the official SDK and that of the product."""

from dataclasses import dataclass, field
from typing import Any

from promptforge.domain.retry import FailureKind
from tests.contract.provider_adapters import ANTHROPIC_ANSWER, GEMINI_ANSWER, OPENAI_ANSWER, Body

NOT_SENT, THROTTLED, ACCOUNT, PROMPT, PROVIDER, TIMEOUT, UNREADABLE, UNKNOWN = FailureKind
CODES = {NOT_SENT: "provider_unreachable", THROTTLED: "throttled", ACCOUNT: "provider_account"}


@dataclass(frozen=True)
class FailureCase:
    """One reply and its outcomes.

    `sdk` is the exception of the SDK, "answer" if it returns one, or "unreadable" if that answer fails later. `wait` is
    the wait that the provider asks for.
    """

    provider: str
    status: int
    body: Any
    sdk: str
    kind: FailureKind
    code: str
    wait: float | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.provider} {self.status} {self.code}"


def openai(status: int, code: str, sdk: str, kind: FailureKind, failure_code: str = "", **more: Any) -> FailureCase:
    body = {"error": {"message": "m", "type": "t", "param": None, "code": code}}
    return FailureCase("openai", status, body, sdk, kind, failure_code or CODES[kind], **more)


def anthropic(status: int, error: str, sdk: str, kind: FailureKind, failure_code: str = "", **more: Any) -> FailureCase:
    """Return a case whose `error` is `type` or `type/error_code`."""
    name, _, code = error.partition("/")
    details = {"details": {"error_code": code}} if code else {}
    message = more.pop("message", "m")
    body = {"type": "error", "error": {"type": name, "message": message, **details}, "request_id": "req_1"}
    return FailureCase("anthropic", status, body, sdk, kind, failure_code or CODES[kind], **more)


def gemini(status: int, name: str, sdk: str, kind: FailureKind, failure_code: str = "", **more: Any) -> FailureCase:
    details = more.pop("details", [])
    body = {"error": {"code": status, "message": "m", "status": name, "details": details}}
    return FailureCase("gemini", status, body, sdk, kind, failure_code or CODES[kind], **more)


def mistral(
    status: int, kind_of_error: str, sdk: str, kind: FailureKind, failure_code: str = "", **more: Any
) -> FailureCase:
    message = more.pop("message", "m")
    body = {"object": "error", "message": message, "type": kind_of_error, "param": None, "code": "1300"}
    return FailureCase("mistral", status, body, sdk, kind, failure_code or CODES[kind], **more)


def quota(*ids: str, delay: str = "") -> list[Body]:
    """Return the details of a Gemini 429."""
    google = "type.googleapis.com/google.rpc."
    failure: Body = {"@type": google + "QuotaFailure", "violations": [{"quotaId": name} for name in ids]}
    return [
        failure,
        {"@type": google + "Help"},
        *([{"@type": google + "RetryInfo", "retryDelay": delay}] if delay else []),
    ]


BAD_KEY = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
AS_JSON = {"Content-Type": "application/json"}
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}


def chat(reason: str, provider: str = "openai", **message: Any) -> tuple[str, int, Body]:
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": None} | message}
    return provider, 200, OPENAI_ANSWER | {"choices": [choice]}


def messages(reason: str) -> tuple[str, int, Body]:
    return "anthropic", 200, ANTHROPIC_ANSWER | {"content": [], "stop_reason": reason}


def candidate(reason: str) -> tuple[str, int, Body]:
    return "gemini", 200, GEMINI_ANSWER | {"candidates": [{"finishReason": reason}]}


CASES = [
    openai(400, "invalid_prompt", "BadRequestError", PROMPT, "filtered"),
    openai(400, "context_length_exceeded", "BadRequestError", PROMPT, "context_too_long"),
    openai(400, "unsupported_value", "BadRequestError", PROMPT, "unsupported_parameter"),
    openai(400, "x", "BadRequestError", PROMPT, "prompt_rejected"),
    openai(401, "invalid_api_key", "AuthenticationError", ACCOUNT),
    openai(402, "x", "APIStatusError", ACCOUNT),
    openai(403, "unsupported_country_region_territory", "PermissionDeniedError", ACCOUNT),
    openai(404, "model_not_found", "NotFoundError", PROMPT, "model_not_found"),
    openai(404, "x", "NotFoundError", PROMPT, "prompt_rejected"),
    openai(409, "x", "ConflictError", PROVIDER, "provider_error"),
    openai(413, "x", "APIStatusError", PROMPT, "prompt_rejected"),
    openai(422, "x", "UnprocessableEntityError", PROMPT, "prompt_rejected"),
    openai(429, "rate_limit_exceeded", "RateLimitError", THROTTLED, wait=7.0, headers={"retry-after": "7"}),
    openai(429, "rate_limit_exceeded", "RateLimitError", THROTTLED, wait=0.25, headers={"retry-after-ms": "250"}),
    openai(429, "insufficient_quota", "RateLimitError", ACCOUNT),
    openai(429, "billing_hard_limit_reached", "RateLimitError", ACCOUNT),
    openai(429, "credit_balance_exhausted", "RateLimitError", ACCOUNT),
    openai(429, "organization_spend_limit_exceeded", "RateLimitError", ACCOUNT),
    openai(429, "organization_usage_limit_exceeded", "RateLimitError", ACCOUNT),
    openai(429, "project_spend_limit_exceeded", "RateLimitError", ACCOUNT),
    openai(500, "x", "InternalServerError", PROVIDER, "provider_error"),
    openai(502, "x", "InternalServerError", PROVIDER, "provider_error"),
    openai(503, "server_is_overloaded", "InternalServerError", THROTTLED),
    openai(503, "slow_down", "InternalServerError", THROTTLED),
    openai(503, "x", "InternalServerError", THROTTLED),
    openai(504, "x", "InternalServerError", PROVIDER, "provider_error"),
    FailureCase(*chat("stop", refusal="I cannot."), "answer", PROMPT, "refused"),
    FailureCase(*chat("content_filter"), "answer", PROMPT, "filtered"),
    FailureCase(*chat("length"), "answer", PROMPT, "empty_answer"),
    FailureCase("openai", 200, b"<html>", "unreadable", PROVIDER, "provider_error"),
    FailureCase("openai", 200, b"<html>", "JSONDecodeError", PROVIDER, "provider_error", headers=AS_JSON),
    FailureCase("openai", 200, b"text", "JSONDecodeError", UNREADABLE, "provider_bad_response", headers=AS_JSON),
    FailureCase("openai", 200, {}, "unreadable", UNREADABLE, "provider_bad_response"),
    anthropic(400, "invalid_request_error", "BadRequestError", PROMPT, "prompt_rejected"),
    anthropic(
        400,
        "invalid_request_error",
        "BadRequestError",
        ACCOUNT,
        message="Your credit balance is too low to access the Anthropic API.",
    ),
    anthropic(400, "invalid_request_error/organization_on_hold", "OrganizationOnHoldError", ACCOUNT),
    anthropic(400, "invalid_request_error/cmek_key_disabled", "CMEKKeyDisabledError", ACCOUNT),
    anthropic(401, "authentication_error", "AuthenticationError", ACCOUNT),
    anthropic(402, "billing_error", "PaymentRequiredError", ACCOUNT),
    anthropic(403, "permission_error", "PermissionDeniedError", ACCOUNT),
    anthropic(404, "not_found_error", "NotFoundError", PROMPT, "model_not_found"),
    anthropic(408, "timeout_error", "RequestTimeoutError", PROVIDER, "provider_error"),
    anthropic(413, "invalid_request_error", "ContentTooLargeError", PROMPT, "prompt_rejected"),
    anthropic(429, "rate_limit_error", "RateLimitError", THROTTLED, wait=4.0, headers={"retry-after": "4"}),
    anthropic(429, "rate_limit_error/ramp_limit_exceeded", "RampLimitExceededError", THROTTLED),
    anthropic(429, "rate_limit_error/contract_spend_limit_reached", "ContractSpendLimitReachedError", ACCOUNT),
    anthropic(429, "rate_limit_error/enforced_spend_limit_reached", "EnforcedSpendLimitReachedError", ACCOUNT),
    anthropic(500, "api_error", "InternalServerError", PROVIDER, "provider_error"),
    anthropic(503, "api_error", "ServiceUnavailableError", THROTTLED),
    anthropic(503, "api_error/cmek_key_unreachable", "CMEKKeyUnreachableError", THROTTLED),
    anthropic(504, "timeout_error", "GatewayTimeoutError", PROVIDER, "provider_error"),
    anthropic(529, "overloaded_error", "OverloadedError", THROTTLED),
    FailureCase("anthropic", 529, b"<html>", "OverloadedError", THROTTLED, "throttled"),
    FailureCase(*messages("refusal"), "answer", PROMPT, "refused"),
    FailureCase(*messages("max_tokens"), "answer", PROMPT, "empty_answer"),
    FailureCase(*messages("pause_turn"), "answer", UNREADABLE, "provider_bad_response"),
    FailureCase("anthropic", 200, b"<html>", "unreadable", PROVIDER, "provider_error"),
    FailureCase("anthropic", 200, b"<html>", "JSONDecodeError", PROVIDER, "provider_error", headers=AS_JSON),
    FailureCase("anthropic", 200, b"text", "JSONDecodeError", UNREADABLE, "provider_bad_response", headers=AS_JSON),
    FailureCase("anthropic", 200, {}, "unreadable", UNREADABLE, "provider_bad_response"),
    gemini(400, "INVALID_ARGUMENT", "ClientError", PROMPT, "prompt_rejected"),
    gemini(400, "INVALID_ARGUMENT", "ClientError", ACCOUNT, details=BAD_KEY),
    gemini(400, "FAILED_PRECONDITION", "ClientError", ACCOUNT),
    gemini(401, "UNAUTHENTICATED", "ClientError", ACCOUNT),
    gemini(403, "PERMISSION_DENIED", "ClientError", ACCOUNT),
    gemini(404, "NOT_FOUND", "ClientError", PROMPT, "model_not_found"),
    gemini(429, "RESOURCE_EXHAUSTED", "ClientError", THROTTLED),
    gemini(429, "RESOURCE_EXHAUSTED", "ClientError", THROTTLED, wait=37.0, details=quota(PER_MINUTE, delay="37s")),
    gemini(429, "RESOURCE_EXHAUSTED", "ClientError", THROTTLED, wait=10.5, details=quota(PER_MINUTE, delay="10.5s")),
    gemini(429, "RESOURCE_EXHAUSTED", "ClientError", ACCOUNT, details=quota(PER_MINUTE, PER_DAY, delay="22s")),
    gemini(499, "CANCELLED", "ClientError", PROVIDER, "provider_error"),
    gemini(500, "INTERNAL", "ServerError", PROVIDER, "provider_error"),
    gemini(503, "UNAVAILABLE", "ServerError", THROTTLED),
    gemini(504, "DEADLINE_EXCEEDED", "ServerError", PROVIDER, "provider_error"),
    FailureCase("gemini", 200, BLOCKED, "answer", PROMPT, "filtered"),
    FailureCase(*candidate("SAFETY"), "answer", PROMPT, "filtered"),
    FailureCase(*candidate("RECITATION"), "answer", PROMPT, "filtered"),
    FailureCase(*candidate("MAX_TOKENS"), "answer", PROMPT, "empty_answer"),
    FailureCase(*candidate("MALFORMED_FUNCTION_CALL"), "answer", PROMPT, "tool_call"),
    FailureCase(*candidate("MALFORMED_RESPONSE"), "answer", UNREADABLE, "provider_bad_response"),
    FailureCase(*candidate("PUP_LIMITED_DISABLED"), "answer", ACCOUNT, "provider_account"),
    FailureCase("gemini", 200, b"<html>", "JSONDecodeError", PROVIDER, "provider_error"),
    FailureCase("gemini", 200, b"<html>", "JSONDecodeError", PROVIDER, "provider_error", headers=AS_JSON),
    FailureCase("gemini", 200, b"text", "JSONDecodeError", UNREADABLE, "provider_bad_response", headers=AS_JSON),
    FailureCase("gemini", 200, {}, "unreadable", UNREADABLE, "provider_bad_response"),
    mistral(400, "invalid_request_error", "SDKError", PROMPT, "prompt_rejected"),
    mistral(401, "unauthorized", "SDKError", ACCOUNT),
    mistral(402, "x", "SDKError", ACCOUNT),
    mistral(403, "x", "SDKError", ACCOUNT),
    mistral(404, "x", "SDKError", PROMPT, "prompt_rejected"),
    mistral(429, "rate_limited", "SDKError", THROTTLED, wait=3.0, headers={"retry-after": "3"}),
    mistral(429, "x", "SDKError", ACCOUNT, message="The limit is reached until the next billing cycle."),
    mistral(500, "internal_server_error", "SDKError", PROVIDER, "provider_error"),
    mistral(503, "x", "SDKError", THROTTLED),
    mistral(503, "x", "SDKError", THROTTLED, wait=3.0, headers={"retry-after": "3"}),
    FailureCase("mistral", 422, {"detail": []}, "HTTPValidationError", PROMPT, "prompt_rejected"),
    FailureCase(*chat("length", "mistral", content=""), "answer", PROMPT, "empty_answer"),
    FailureCase(*chat("error", "mistral", content="half a"), "answer", PROVIDER, "provider_error"),
    FailureCase("mistral", 200, b"<html>", "SDKError", PROVIDER, "provider_error"),
    FailureCase("mistral", 200, b"<html>", "ResponseValidationError", PROVIDER, "provider_error", headers=AS_JSON),
    FailureCase(
        "mistral", 200, b"text", "ResponseValidationError", UNREADABLE, "provider_bad_response", headers=AS_JSON
    ),
    FailureCase("mistral", 200, {}, "ResponseValidationError", UNREADABLE, "provider_bad_response"),
]
