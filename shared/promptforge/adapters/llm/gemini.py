"""Google's Gemini API (not Vertex AI).

Statuses follow https://ai.google.dev/gemini-api/docs/troubleshooting.
"""

import random
from typing import Any
from urllib.parse import quote

from promptforge.adapters.llm.http import (
    FILTERED,
    HttpProvider,
    ProviderRequest,
    account_failure,
    build_provider,
    completion_or_failure,
    drop_none,
    error_object,
    extract_system,
    text_or_none,
    throttled_failure,
    token_count,
)
from promptforge.adapters.llm.transport import BAD_RESPONSE, HttpReply
from promptforge.domain.formats.params import ResponseFormat
from promptforge.domain.retry_after import parse_retry_after
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.settings import Settings

ROLES = {"user": "user", "assistant": "model"}
COLLECTIONS = ("models", "tunedModels")
FINISH_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "CONTINUATION": FinishReason.LENGTH,
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


class GeminiFormat:
    """POST /v1/models/MODEL:generateContent."""

    name, key = "Gemini", "GEMINI_API_KEY"

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

    def parse_completion(self, reply: HttpReply, request: CompletionRequest) -> Completion | CallFailure:
        body = reply.body
        if not body.get("candidates"):
            return FILTERED if (body.get("promptFeedback") or {}).get("blockReason") else BAD_RESPONSE
        candidate = body["candidates"][0]
        if candidate.get("finishReason") == "PUP_LIMITED_DISABLED":
            return account_failure(ACCOUNT_REJECTED)
        parts = (candidate.get("content") or {}).get("parts") or []
        text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
        reason = FINISH_REASONS.get(candidate.get("finishReason"), FinishReason.OTHER)
        if not text and any("functionCall" in part for part in parts):
            reason = FinishReason.TOOL
        model = text_or_none(body.get("modelVersion")) or request.model
        return completion_or_failure(
            text,
            reason,
            Completion(text, model, *self.count_tokens(body), reason, text_or_none(body.get("responseId"))),
        )

    def count_tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usageMetadata") or {}
        asked = token_count(usage.get("promptTokenCount")) + token_count(usage.get("toolUsePromptTokenCount"))
        return asked, token_count(usage.get("candidatesTokenCount")) + token_count(usage.get("thoughtsTokenCount"))

    def classify_error(self, reply: HttpReply, retry_after: float | None) -> CallFailure | None:
        error = error_object(reply.body)
        details = error.get("details")
        found = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
        if reply.status == 400 and _is_key_error(found):
            return account_failure(ACCOUNT_REJECTED)
        if reply.status == 400 and error.get("status") == "FAILED_PRECONDITION":
            return account_failure(ACCOUNT_REJECTED, maybe_request_specific=True)
        if reply.status == 429 and _is_daily_quota(found):
            return account_failure(DAILY_QUOTA_USED)
        if reply.status in (429, 503):
            return throttled_failure(self.name, retry_after if retry_after is not None else _retry_delay(found))
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
    return {"responseMimeType": "application/json", "responseJsonSchema": form.json_schema} if form else {}


def _is_key_error(details: list[dict[str, Any]]) -> bool:
    """Whether the error is about the API key: Google answers 400 to a key that does not exist."""
    return any(str(one.get("reason")).startswith("API_KEY_") for one in details)


def _is_daily_quota(details: list[dict[str, Any]]) -> bool:
    """Whether a daily quota is among the exceeded ones."""
    lists = (one.get("violations") for one in details)
    violations = [violation for found in lists if isinstance(found, list) for violation in found]
    return any("PerDay" in str(one.get("quotaId")) for one in violations if isinstance(one, dict))


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    """Return the wait that the body asks for, as in "37s"."""
    delays = [delay for one in details if isinstance(delay := one.get("retryDelay"), str)]
    return parse_retry_after(delays[0].removesuffix("s"), 0.0) if delays else None
