"""Anthropic's messages.

What a status means follows https://platform.claude.com/docs/en/api/errors, the codes those of the official SDK.
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
"""The version before, and the last one that takes SAMPLING, from the models that still do."""

MAX_TOKENS = 4096
"""Sent where none was given, because Anthropic wants a number."""

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
"""An empty account comes as 400 invalid_request_error without a code: only the text tells it from a bad request."""

NOT_NOW = {"cmek_context_unavailable", "cmek_key_unreachable"}
REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.REFUSED,
    "tool_use": FinishReason.TOOL,
}
REFUSES = "Anthropic refuses the account behind ANTHROPIC_API_KEY: check its billing, its limits and its state."


class AnthropicFormat:
    """POST /v1/messages. Turns of the system are hoisted out of the conversation: few models take them in it."""

    name, key = "Anthropic", "ANTHROPIC_API_KEY"

    def build_request(self, question: CompletionRequest) -> ProviderRequest:
        params = question.params
        system, messages = extract_system(question)
        given = {
            "system": system,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop_sequences": params.stop,
        }
        body = {
            "model": question.model,
            "max_tokens": params.max_tokens or MAX_TOKENS,
            "messages": messages,
            **drop_none(given),
        }
        if params.response_format:
            body["output_config"] = {"format": {"type": "json_schema", "schema": params.response_format.json_schema}}
        sampled = SAMPLING & (body.keys() | (params.extra or {}).keys())
        return ProviderRequest("/v1/messages", body, {"anthropic-version": SAMPLING_VERSION} if sampled else {})

    def parse_completion(self, reply: HttpReply, question: CompletionRequest) -> Completion | CallFailure:
        body = reply.body
        text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
        reason = REASONS.get(body.get("stop_reason"), FinishReason.OTHER)
        request_id = text_or_none(reply.headers.get("request-id"))
        model = text_or_none(body.get("model")) or question.model
        return completion_or_failure(
            text, reason, Completion(text, model, *self.count_tokens(body), reason, request_id)
        )

    def count_tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") or {}
        inputs = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        return sum(token_count(usage.get(name)) for name in inputs), token_count(usage.get("output_tokens"))

    def classify_error(self, reply: HttpReply, wait: float | None) -> CallFailure | None:
        error = error_object(reply.body)
        kind, code = error.get("type"), _code(error)
        if kind == "billing_error" or code in ACCOUNT_CODES:
            return account_failure(REFUSES)
        if reply.status == 400 and str(error.get("message")).startswith(NO_CREDIT):
            return account_failure(REFUSES)
        if reply.status == 529 or kind == "overloaded_error" or code in NOT_NOW:
            return throttled_failure(self, wait)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """The provider, with the key and address of the settings."""
    key = settings.provider_keys["anthropic"]
    headers = {"Authorization": f"Bearer {key}", "anthropic-version": VERSION}
    return build_provider("anthropic", AnthropicFormat(), headers, settings, clock)


def _code(error: dict[str, Any]) -> str | None:
    """The stable name of the cause, if the error has one."""
    details = error.get("details")
    return text_or_none(details.get("error_code")) if isinstance(details, dict) else None
