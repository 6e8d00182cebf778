"""Anthropic's messages.

Statuses follow https://platform.claude.com/docs/en/api/errors, the codes those of the official SDK.
"""

import random
from typing import Any
from urllib.parse import quote

from promptforge.adapters.llm.answer import Answer, Usage, join_parts, make_usage
from promptforge.adapters.llm.error_report import ErrorReport, clean_text
from promptforge.adapters.llm.http import HttpProvider, build_provider, is_own_address
from promptforge.adapters.llm.provider_format import Body, ProviderFormat, ProviderRequest
from promptforge.adapters.llm.rejections import account_failure, model_failure, throttled_failure
from promptforge.adapters.llm.request_body import drop_none, enforced_schema, extract_system
from promptforge.adapters.llm.transport import HttpReply
from promptforge.domain.formats.strict_schema import ANTHROPIC_RULES
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, CompletionRequest, FinishReason
from promptforge.settings import Settings

VERSION = "2026-10-21"
SAMPLING = {"temperature", "top_p", "top_k"}
PREVIOUS_VERSION = "2023-06-01"
"""The last version that accepts SAMPLING, for the models that still do, and the only one that gateways know."""

MAX_TOKENS = 16_384
"""Sent where no limit is set: Anthropic requires one. Every active model accepts it, and thoughts count against it."""

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
PAUSED = "pause_turn"
"""The reason of a long turn with tools of Anthropic, which goes on when its content is sent back."""

THOUGHT_BLOCKS = ("redacted_thinking", "thinking")
ACCOUNT_REJECTED = "Anthropic rejects the account of ANTHROPIC_API_KEY: check its billing, its limits and its state."


class AnthropicFormat(ProviderFormat):
    """POST /v1/messages.

    System messages are extracted from the conversation: few models accept them in it.
    """

    name, key = "Anthropic", "ANTHROPIC_API_KEY"
    has_default_limit = True

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
        if form := params.response_format:
            schema = enforced_schema(form, ANTHROPIC_RULES) or form.json_schema
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        sampled = SAMPLING & (body.keys() | (params.extra or {}).keys())
        return ProviderRequest("/v1/messages", body, {"anthropic-version": PREVIOUS_VERSION} if sampled else {})

    def parse_answer(self, reply: HttpReply, request: CompletionRequest) -> Answer | CallFailure:
        body = reply.body
        content, word = body.get("content"), body.get("stop_reason")
        text = join_parts(content)
        kinds = {block.get("type") for block in content} if isinstance(content, list) else set()
        reason = FINISH_REASONS.get(word, FinishReason.OTHER) if isinstance(word, str) else FinishReason.OTHER
        if not text and "tool_use" in kinds:
            reason = FinishReason.TOOL
        return Answer(
            text,
            reason,
            clean_text(body.get("model")) or request.model,
            self.read_usage(body),
            clean_text(reply.headers.get("request-id")),
            word if isinstance(word, str) else None,
            not kinds.isdisjoint(THOUGHT_BLOCKS),
        )

    def read_usage(self, body: Any) -> Usage:
        usage = body.get("usage")
        if not isinstance(usage, dict):
            return Usage()
        inputs = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        details = usage.get("output_tokens_details")
        thinking = details.get("thinking_tokens") if isinstance(details, dict) else None
        return make_usage([usage.get(name) for name in inputs], usage.get("output_tokens"), thinking)

    def model_path(self, model: str) -> str:
        return f"/v1/models/{quote(model, safe='')}"

    def continuation(self, body: Body, reply: Any) -> Body | None:
        if reply["stop_reason"] != PAUSED or not reply["content"]:
            return None
        return {**body, "messages": [*body["messages"], {"role": "assistant", "content": reply["content"]}]}

    def classify_error(self, report: ErrorReport, retry_after: float | None) -> CallFailure | None:
        kind, code = report.identifiers.type, report.identifiers.code
        if code in ACCOUNT_CODES or (kind == "billing_error" and report.status != 402):
            return account_failure(ACCOUNT_REJECTED, final=True)
        if report.status == 400 and report.message.startswith(NO_CREDIT):
            return account_failure(ACCOUNT_REJECTED, final=True)
        if kind == "overloaded_error" or code in TEMPORARY_CODES:
            return throttled_failure(self.name, retry_after)
        if report.status == 404 and kind == "not_found_error":
            return model_failure(self.name, report)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """Return the provider, with the key and the address of the settings."""
    key = settings.provider_keys["anthropic"]
    is_own = is_own_address("anthropic", settings.provider_urls["anthropic"])
    headers = own_headers(key) if is_own else gateway_headers(key)
    return build_provider("anthropic", AnthropicFormat(), headers, settings, clock)


def own_headers(key: str) -> dict[str, str]:
    """Return the headers of Anthropic's own address."""
    return {"Authorization": f"Bearer {key}", "anthropic-version": VERSION}


def gateway_headers(key: str) -> dict[str, str]:
    """Return the headers of other addresses: most gateways know only the older version and form of the key."""
    return {"x-api-key": key, "anthropic-version": PREVIOUS_VERSION}
