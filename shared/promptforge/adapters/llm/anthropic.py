"""Anthropic's messages.

Statuses follow https://platform.claude.com/docs/en/api/errors, the codes those of the official SDK.
"""

import random
from typing import Any

from promptforge.adapters.llm.http import (
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
from promptforge.adapters.llm.transport import HttpReply
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.settings import Settings

VERSION = "2026-10-21"
SAMPLING = {"temperature", "top_p", "top_k"}
SAMPLING_VERSION = "2023-06-01"
"""The previous version, the last one that accepts SAMPLING, for the models that still do."""

MAX_TOKENS = 4096
"""Sent where no limit is set: Anthropic requires one."""

ACCOUNT_CODES = {
    "claude_code_key_creator_not_member",
    "cmek_key_disabled",
    "cmek_key_network_blocked",
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "linked_organization_billing_unavailable",
    "linked_organization_spend_limit_reached",
    "organization_on_hold",
}
NO_CREDIT = "Your credit balance is too low"
"""An empty account gets 400 invalid_request_error without a code. Only the text tells it from an invalid request."""

TEMPORARY_CODES = {"cmek_context_unavailable", "cmek_key_unreachable"}
FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.REFUSED,
    "tool_use": FinishReason.TOOL,
}
ACCOUNT_REJECTED = "Anthropic rejects the account of ANTHROPIC_API_KEY: check its billing, its limits and its state."


class AnthropicFormat:
    """POST /v1/messages.

    System messages are extracted from the conversation: few models accept them in it.
    """

    name, key = "Anthropic", "ANTHROPIC_API_KEY"

    def build_request(self, request: CompletionRequest) -> ProviderRequest:
        params = request.params
        system, messages = extract_system(request)
        fields = {
            "system": system,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop_sequences": params.stop,
        }
        body = {
            "model": request.model,
            "max_tokens": params.max_tokens or MAX_TOKENS,
            "messages": messages,
            **drop_none(fields),
        }
        if params.response_format:
            body["output_config"] = {"format": {"type": "json_schema", "schema": params.response_format.json_schema}}
        sampled = SAMPLING & (body.keys() | (params.extra or {}).keys())
        return ProviderRequest("/v1/messages", body, {"anthropic-version": SAMPLING_VERSION} if sampled else {})

    def parse_completion(self, reply: HttpReply, request: CompletionRequest) -> Completion | CallFailure:
        body = reply.body
        text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
        reason = FINISH_REASONS.get(body.get("stop_reason"), FinishReason.OTHER)
        request_id = text_or_none(reply.headers.get("request-id"))
        model = text_or_none(body.get("model")) or request.model
        return completion_or_failure(
            text, reason, Completion(text, model, *self.count_tokens(body), reason, request_id)
        )

    def count_tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") or {}
        inputs = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        return sum(token_count(usage.get(name)) for name in inputs), token_count(usage.get("output_tokens"))

    def classify_error(self, reply: HttpReply, retry_after: float | None) -> CallFailure | None:
        error = error_object(reply.body)
        kind, code = error.get("type"), _code(error)
        if kind == "billing_error" or code in ACCOUNT_CODES:
            return account_failure(ACCOUNT_REJECTED)
        if reply.status == 400 and str(error.get("message")).startswith(NO_CREDIT):
            return account_failure(ACCOUNT_REJECTED)
        if reply.status == 529 or kind == "overloaded_error" or code in TEMPORARY_CODES:
            return throttled_failure(self.name, retry_after)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """Return the provider, with the key and the address of the settings."""
    key = settings.provider_keys["anthropic"]
    headers = {"Authorization": f"Bearer {key}", "anthropic-version": VERSION}
    return build_provider("anthropic", AnthropicFormat(), headers, settings, clock)


def _code(error: dict[str, Any]) -> str | None:
    """Return the stable name of the cause, if the error has one."""
    details = error.get("details")
    return text_or_none(details.get("error_code")) if isinstance(details, dict) else None
