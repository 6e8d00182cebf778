"""Mistral's chat completions."""

import random
from typing import Any

from promptforge.adapters.llm.http import (
    Call,
    HttpProvider,
    account,
    connected,
    count,
    json_format,
    present,
    said,
    text_or_none,
    turns,
)
from promptforge.adapters.llm.transport import HttpReply
from promptforge.domain.retry import FailureKind
from promptforge.ports.clock import Clock
from promptforge.ports.provider import Answer, Failure, FinishReason, Question
from promptforge.settings import Settings

REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL,
}
USED_UP = "billing cycle"
"""A workspace over its limit of the month is told to wait "until the next billing cycle", without a code."""

NO_FUNDS = "The Mistral workspace has reached its limit of the month: raise it, then start the job again."
BROKEN_OFF = Failure(FailureKind.UNKNOWN, "provider_error", "Mistral broke off its answer with a fault of its own.")


class Mistral:
    """POST /v1/chat/completions."""

    name, key = "Mistral", "MISTRAL_API_KEY"

    def request(self, question: Question) -> Call:
        params = question.params
        given = {
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "random_seed": params.seed,
            "response_format": json_format(params.response_format),
        }
        return Call("/v1/chat/completions", {"model": question.model, "messages": turns(question), **present(given)})

    def answer(self, reply: HttpReply, question: Question) -> Answer | Failure:
        body = reply.body
        choice = body["choices"][0]
        if choice.get("finish_reason") == "error":
            return BROKEN_OFF
        text = _text(choice["message"].get("content"))
        reason = REASONS.get(choice.get("finish_reason"), FinishReason.OTHER)
        request_id = text_or_none(reply.headers.get("mistral-correlation-id"))
        model = text_or_none(body.get("model")) or question.model
        return said(text, reason, Answer(text, model, *self.tokens(body), reason, request_id))

    def tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") or {}
        return count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))

    def special(self, reply: HttpReply, wait: float | None) -> Failure | None:
        if reply.status == 429 and isinstance(reply.body, dict) and USED_UP in str(reply.body.get("message")):
            return account(NO_FUNDS)
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> HttpProvider:
    """The provider, with the key and address of the settings."""
    headers = {"Authorization": f"Bearer {settings.provider_keys['mistral']}"}
    return connected("mistral", Mistral(), headers, settings, clock)


def _text(content: Any) -> Any:
    """What was said; models that think aloud say it in pieces, of which only some are the answer."""
    if isinstance(content, list):
        return "".join(piece["text"] for piece in content if piece["type"] == "text")
    return content
