"""Replies with an error as failures: by the provider's names for it, then by the status."""

import re
from dataclasses import replace

from promptforge.adapters.llm.error_report import ErrorReport
from promptforge.adapters.llm.network_errors import BAD_RESPONSE, unreachable
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure

QUOTA_CODES = {
    "billing_hard_limit_reached",
    "billing_not_active",
    "credit_balance_exhausted",
    "insufficient_quota",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
}
"""An exhausted quota or balance: no later call succeeds."""

FILTER_CODES = {
    "ResponsibleAIPolicyViolation",
    "content_filter",
    "content_policy_violation",
    "data_inspection_failed",
    "invalid_prompt",
    "moderation_blocked",
    "moderation_error",
}
CONTEXT_CODES = {
    "context_length_exceeded",
    "context_window_exceeded",
    "exceed_context_size_error",
    "max_context_length_exceeded",
    "prompt_too_long",
    "string_above_max_length",
}
MODEL_CODES = {
    "DeploymentNotFound",
    "invalid_model",
    "model_decommissioned",
    "model_not_available",
    "model_not_found",
}
PARAMETER_CODES = {
    "extra_forbidden",
    "unknown_parameter",
    "unrecognized_parameter",
    "unsupported_parameter",
    "unsupported_value",
}
FILTER_TEXT = re.compile(
    r"requires moderation|moderation (error|policy|filter)|content.?(filter|management|policy)|usage polic"
    r"|(blocked|flagged|rejected|filtered) (by|due to|because of|for|as)[^.]{0,60}(content|moderation|safety|polic)"
    r"|(input|prompt|content|request|message|text)s? (was|were|is|has been|have been) (flagged|blocked|filtered)",
    re.IGNORECASE,
)
ACCOUNT_TEXT = re.compile(r"\b(account|organi[sz]ation|api key|project|region|country)\b", re.IGNORECASE)
CONTEXT_TEXT = re.compile(
    r"context.?(length|window|size)|(prompt|input) is too long|too many tokens|(prompt|input)[^.]{0,40} too long"
    r"|token count[^.]{0,40} exceeds|exceeds the (maximum|max) number of tokens|too large for model with \d+",
    re.IGNORECASE,
)
MODEL_TEXT = re.compile(
    r"\bmodels?\b.{0,220}?\b(is not found|not found|does not exist|not exist|doesn.t exist|is not available)\b"
    r"|(invalid|unknown|no such|not a valid) model|not a valid model",
    re.IGNORECASE | re.DOTALL,
)
PARAMETER_TEXT = re.compile(
    r"unsupported|not.{0,20}support|not permitted|not allowed|unrecogni[sz]ed|unexpected|unknown (name|param|field|arg)"
    r"|extra (inputs|fields)|deprecated|cannot .{0,20}both",
    re.IGNORECASE,
)

PROMPT_FIELDS = ("contents", "messages", "model", "system", "systemInstruction")
"""Fields that every model supports, although not every value of them."""

REJECTED_STATUSES = (400, 403, 404, 413, 422, 451)
THROTTLED_STATUSES = (429, 498, 503, 529)
FAULTY_4XX = (408, 409, 425, 499)


def filtered_failure(name: str, report: ErrorReport) -> CallFailure:
    """Return the failure of a prompt that a content filter rejected."""
    return CallFailure(
        FailureKind.PROMPT, "filtered", f"A content filter of {name} rejected the prompt ({report.summary})."
    )


def account_failure(message: str, maybe_request_specific: bool = False, final: bool = False) -> CallFailure:
    """Return the failure of a rejected key or account."""
    return CallFailure(
        FailureKind.ACCOUNT, "provider_account", message, maybe_request_specific=maybe_request_specific, final=final
    )


def throttled_failure(name: str, retry_after_seconds: float | None) -> CallFailure:
    """Return the failure of a throttled call."""
    return CallFailure(FailureKind.THROTTLED, "throttled", f"{name} throttled the call.", retry_after_seconds)


def provider_fault(message: str, retry_after_seconds: float | None = None) -> CallFailure:
    """Return the failure of a provider with an error of its own."""
    return CallFailure(FailureKind.PROVIDER, "provider_error", message, retry_after_seconds)


def rejects_parameter(report: ErrorReport) -> bool:
    """Return whether an error is about a parameter that the model or the server does not support."""
    return bool(report.codes & PARAMETER_CODES or PARAMETER_TEXT.search(report.message))


def quota_failure(name: str, report: ErrorReport, retry_after: float | None) -> CallFailure | None:
    """Return the failure of an exhausted quota, or None."""
    if not report.codes & QUOTA_CODES or not 400 <= report.status <= 499:
        return None
    if retry_after is not None and report.status != 429:
        return None
    remedy = "check its plan and billing, then start the job again"
    message = f"The {name} account has no quota left ({report.summary}): {remedy}."
    return account_failure(message, final=True)


def known_rejection(name: str, report: ErrorReport) -> CallFailure | None:
    """Return the failure of a rejected request whose cause is known, else None."""
    status, codes, message = report.status, report.codes, report.message
    if status not in REJECTED_STATUSES:
        return None
    if _is_filtered(report):
        return filtered_failure(name, report)
    if status == 403:
        return None
    if codes & CONTEXT_CODES or CONTEXT_TEXT.search(message):
        return CallFailure(
            FailureKind.PROMPT,
            "context_too_long",
            f"The prompt and its answer exceed the context window of the model ({report.summary}).",
        )
    if codes & MODEL_CODES or (status in (400, 404) and MODEL_TEXT.search(message)):
        return model_failure(name, report)
    param = report.identifiers.param
    if status in (400, 422) and _names_parameter(report) and rejects_parameter(report):
        which = f"the parameter {param}" if param else "a parameter"
        return CallFailure(
            FailureKind.PROMPT,
            "unsupported_parameter",
            f"{name} or the model does not support {which} ({report.summary}).",
        )
    return None


def model_failure(name: str, report: ErrorReport) -> CallFailure:
    """Return the failure of a model that does not exist."""
    return CallFailure(
        FailureKind.PROMPT,
        "model_not_found",
        f"{name} has no such model, or the API key may not use it ({report.summary}): correct `model`.",
    )


def failure_of_status(name: str, key: str, report: ErrorReport, retry_after: float | None) -> CallFailure:
    """Return the failure of an error without a known name."""
    status, summary = report.status, report.summary
    if status in THROTTLED_STATUSES or (400 <= status <= 499 and retry_after is not None):
        return throttled_failure(name, retry_after)
    if status in (401, 402, 403):
        message = f"{name} rejected the API key ({summary}): the operator must check {key}."
        return account_failure(message, maybe_request_specific=status == 403)
    if status == 407:
        return unreachable(f"The proxy before {name} requires a user and a password (HTTP 407).")
    if status >= 500 or status in FAULTY_4XX:
        return provider_fault(f"{name} reported an error ({summary}).", retry_after)
    if status < 400:
        return replace(
            BAD_RESPONSE,
            message=f"{name} redirected the call ({summary}), which is not followed: correct the base URL.",
        )
    return CallFailure(
        FailureKind.PROMPT, "prompt_rejected", f"{name} rejected the request of this prompt ({summary})."
    )


def _names_parameter(report: ErrorReport) -> bool:
    """Whether the provider has a code for it, or names a field other than those of the prompt."""
    param = report.identifiers.param
    return bool(report.codes & PARAMETER_CODES) or (param is not None and param.split(".")[0] not in PROMPT_FIELDS)


def _is_filtered(report: ErrorReport) -> bool:
    if report.flagged or report.codes & FILTER_CODES:
        return True
    return bool(FILTER_TEXT.search(report.message)) and not ACCOUNT_TEXT.search(report.message)
