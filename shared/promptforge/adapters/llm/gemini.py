"""Google's Gemini API (not Vertex AI).

Statuses follow https://ai.google.dev/gemini-api/docs/troubleshooting.
"""

import random
from typing import Any
from urllib.parse import quote

from promptforge.adapters.llm.answer import FILTERED, Answer, Usage, join_parts, make_usage
from promptforge.adapters.llm.error_report import ErrorReport, clean_text
from promptforge.adapters.llm.http import HttpProvider, build_provider
from promptforge.adapters.llm.network_errors import BAD_RESPONSE
from promptforge.adapters.llm.provider_format import Body, ProviderFormat, ProviderRequest
from promptforge.adapters.llm.rejections import account_failure, model_failure, throttled_failure
from promptforge.adapters.llm.request_body import drop_none, enforced_schema, extract_system
from promptforge.adapters.llm.transport import HttpReply
from promptforge.domain.formats.params import ResponseFormat
from promptforge.domain.formats.strict_schema import GEMINI_RULES
from promptforge.domain.retry_after import parse_retry_after
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, CompletionRequest, FinishReason
from promptforge.settings import Settings

ROLES = {"user": "user", "assistant": "model"}
COLLECTIONS = ("models", "tunedModels")
CONTINUATION = "CONTINUATION"
"""The reason of an answer that goes on when its continuationToken is sent back."""

FINISH_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    CONTINUATION: FinishReason.LENGTH,
    "MALFORMED_FUNCTION_CALL": FinishReason.TOOL,
    "TOO_MANY_TOOL_CALLS": FinishReason.TOOL,
    "UNEXPECTED_TOOL_CALL": FinishReason.TOOL,
}
FILTER_REASONS = {
    "BLOCKLIST",
    "ESCALATION",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_SAFETY",
    "LANGUAGE",
    "MODEL_ARMOR",
    "PROHIBITED_CONTENT",
    "RECITATION",
    "SAFETY",
    "SPII",
}
FINISH_REASONS |= dict.fromkeys(FILTER_REASONS, FinishReason.FILTERED)
DAILY_QUOTA_USED = "Gemini's daily quota is exhausted: wait for the next day or raise it, then start the job again."
ACCOUNT_REJECTED = "Gemini rejects the API key or its project: the operator must check GEMINI_API_KEY and its billing."


class GeminiFormat(ProviderFormat):
    """POST /v1/models/MODEL:generateContent."""

    name, key = "Gemini", "GEMINI_API_KEY"
    timeout_header = "X-Server-Timeout"

    def build_request(self, request: CompletionRequest) -> ProviderRequest:
        params = request.params
        system, messages = extract_system(request)
        config = {
            "temperature": params.temperature,
            "topP": params.top_p,
            "maxOutputTokens": params.max_tokens,
            "stopSequences": params.stop,
            "seed": params.seed,
            **_json_format(params.response_format),
        }
        body: dict[str, Any] = {
            "contents": [_content(ROLES[message["role"]], message["content"]) for message in messages]
        }
        if system:
            body["systemInstruction"] = _content("user", system)
        if fields := drop_none(config):
            body["generationConfig"] = fields
        return ProviderRequest(f"/v1/{_resource(request.model)}:generateContent", body)

    def parse_answer(self, reply: HttpReply, request: CompletionRequest) -> Answer | CallFailure:
        body = reply.body
        if not body.get("candidates"):
            return FILTERED if (body.get("promptFeedback") or {}).get("blockReason") else BAD_RESPONSE
        candidate = body["candidates"][0]
        word = candidate.get("finishReason")
        if word == "PUP_LIMITED_DISABLED":
            return account_failure(ACCOUNT_REJECTED)
        parts = (candidate.get("content") or {}).get("parts") or []
        text = join_parts([part for part in parts if "text" in part])
        reason = FINISH_REASONS.get(word, FinishReason.OTHER) if isinstance(word, str) else FinishReason.OTHER
        if not text and any("functionCall" in part for part in parts):
            reason = FinishReason.TOOL
        return Answer(
            text,
            reason,
            clean_text(body.get("modelVersion")) or request.model,
            self.read_usage(body),
            clean_text(body.get("responseId")),
            word if isinstance(word, str) else None,
            any(part.get("thought") for part in parts),
        )

    def read_usage(self, body: Any) -> Usage:
        usage = body.get("usageMetadata")
        if not isinstance(usage, dict):
            return Usage()
        thoughts = make_usage([], usage.get("thoughtsTokenCount"))
        asked = [usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")]
        written = make_usage(asked, usage.get("candidatesTokenCount"))
        return written._replace(
            output=written.output + thoughts.output,
            reasoning=thoughts.output,
            reported=written.reported or thoughts.reported,
        )

    def embedded_error(self, body: Any) -> Body | None:
        """Return the error at the top, or in the first candidate."""
        if error := super().embedded_error(body):
            return error
        candidates = body.get("candidates") if isinstance(body, dict) else None
        error = candidates[0].get("error") if candidates else None
        return error if isinstance(error, dict) or not error else {"message": error}

    def model_path(self, model: str) -> str:
        return f"/v1/{_resource(model)}"

    def sets_limit(self, extra: Body) -> bool:
        config = extra.get("generationConfig")
        return isinstance(config, dict) and "maxOutputTokens" in config

    def continuation(self, body: Body, reply: Any) -> Body | None:
        candidate = reply["candidates"][0]
        token = candidate.get("continuationToken")
        if candidate.get("finishReason") != CONTINUATION or not isinstance(token, str) or not token:
            return None
        return {**body, "continuationToken": token}

    def classify_error(self, report: ErrorReport, retry_after: float | None) -> CallFailure | None:
        if report.status == 400 and _is_key_error(report.details):
            return account_failure(ACCOUNT_REJECTED)
        if report.status == 400 and report.identifiers.type == "FAILED_PRECONDITION":
            return account_failure(ACCOUNT_REJECTED, maybe_request_specific=True)
        if report.status == 429 and _is_daily_quota(report.details):
            return account_failure(DAILY_QUOTA_USED, final=True)
        if report.status in (429, 503):
            wait = retry_after if retry_after is not None else _retry_delay(report.details)
            return throttled_failure(self.name, wait)
        if report.status == 404 and report.identifiers.type == "NOT_FOUND":
            return model_failure(self.name, report)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """Return the provider, with the key and the address of the settings."""
    return build_provider(
        "gemini", GeminiFormat(), {"x-goog-api-key": settings.provider_keys["gemini"]}, settings, clock
    )


def _resource(model: str) -> str:
    """Return the model's resource name, which stays one segment of the path whatever characters it has."""
    collection, slash, name = model.partition("/")
    if not slash or collection not in COLLECTIONS:
        collection, name = "models", model
    return f"{collection}/{quote(name, safe='')}"


def _content(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


def _json_format(form: ResponseFormat | None) -> dict[str, Any]:
    if form is None:
        return {}
    schema = enforced_schema(form, GEMINI_RULES) or form.json_schema
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


def _is_key_error(details: tuple[dict[str, Any], ...]) -> bool:
    """Whether the error is about the API key: Google answers 400 to a key that does not exist."""
    return any(str(one.get("reason")).startswith("API_KEY_") for one in details)


def _is_daily_quota(details: tuple[dict[str, Any], ...]) -> bool:
    """Whether a daily quota is among the exceeded ones."""
    lists = (one.get("violations") for one in details)
    violations = [violation for found in lists if isinstance(found, list) for violation in found]
    return any("PerDay" in str(one.get("quotaId")) for one in violations if isinstance(one, dict))


def _retry_delay(details: tuple[dict[str, Any], ...]) -> float | None:
    """Return the wait that the body asks for, as in "37s"."""
    delays = [delay for one in details if isinstance(delay := one.get("retryDelay"), str)]
    return parse_retry_after(delays[0].removesuffix("s"), 0.0) if delays else None
