"""OpenAI's chat completions, and every server that speaks them.

What a status means follows https://platform.openai.com/docs/guides/error-codes.
"""

import random
import time
from typing import Any

from promptforge.adapters.llm.transport import BAD_RESPONSE, HttpReply, Transport
from promptforge.domain.retry import FailureKind, parse_retry_after
from promptforge.ports.provider import Answer, Failure, Question
from promptforge.settings import Settings

OUT_OF_FUNDS = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
}

OVERLOADED = {"server_is_overloaded", "slow_down"}

REFUSED_KEY = "OpenAI refuses the API key (HTTP {status}): the operator must check OPENAI_API_KEY."
NO_FUNDS = "The OpenAI account has no quota left: check its plan and billing, then start the job again."
REFUSED_PROMPT = "OpenAI refused the request for this prompt (HTTP {status})."
SERVER_FAULT = "OpenAI had a fault of its own (HTTP {status})."


class OpenAI:
    """One POST /chat/completions a prompt."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def ask(self, question: Question, timeout_seconds: float) -> Answer | Failure:
        body = {"model": question.model, "messages": [{"role": "user", "content": question.prompt}]}
        reply = await self._transport.post("/chat/completions", body, timeout_seconds)
        if isinstance(reply, Failure):
            return reply
        return _answer(reply.body, question) if reply.status == 200 else _failure(reply)

    async def close(self) -> None:
        await self._transport.close()


def build(settings: Settings, rng: random.Random) -> OpenAI:
    """The provider, with the key and address of the settings."""
    headers = {"Authorization": f"Bearer {settings.provider_keys['openai']}"}
    url = settings.provider_urls["openai"]
    return OpenAI(Transport(url, headers, settings.max_in_flight, settings.max_answer_bytes))


def _answer(body: Any, question: Question) -> Answer | Failure:
    try:
        message, usage = body["choices"][0]["message"], body.get("usage") or {}
        text, model = message["content"], body.get("model") or question.model
        tokens = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    except (TypeError, KeyError, IndexError, AttributeError):
        return BAD_RESPONSE
    if message.get("refusal"):
        return Failure(FailureKind.PROMPT, "refused", "The model refused to answer this prompt.")
    if not text and body["choices"][0].get("finish_reason") == "content_filter":
        return Failure(FailureKind.PROMPT, "filtered", "The provider's content filter withheld the answer.")
    if not isinstance(text, str) or not text or not isinstance(model, str):
        return BAD_RESPONSE
    return Answer(text, model, *tokens)


def _count(value: Any) -> int:
    """A number of tokens; whatever is none counts as 0."""
    return value if type(value) is int and 0 <= value < 2**31 else 0


def _failure(reply: HttpReply) -> Failure:
    status = reply.status
    if status in (401, 402, 403):
        return Failure(FailureKind.ACCOUNT, "provider_account", REFUSED_KEY.format(status=status))
    if status == 429 and _error_codes(reply.body) & OUT_OF_FUNDS:
        return Failure(FailureKind.ACCOUNT, "provider_account", NO_FUNDS)
    wait = parse_retry_after(reply.headers.get("retry-after"), time.time())
    if status == 429 or (status == 503 and (wait is not None or _error_codes(reply.body) & OVERLOADED)):
        return Failure(FailureKind.THROTTLED, "throttled", "OpenAI asked to wait.", wait)
    if status >= 500 or status in (408, 409):
        return Failure(FailureKind.UNKNOWN, "provider_error", SERVER_FAULT.format(status=status))
    if 300 <= status < 400 or status < 300:
        return BAD_RESPONSE
    return Failure(FailureKind.PROMPT, "prompt_rejected", REFUSED_PROMPT.format(status=status))


def _error_codes(body: Any) -> set[str]:
    """What the error calls itself: OpenAI and its likes use `code` or `type`, or both."""
    error = body.get("error") if isinstance(body, dict) else None
    names = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    return {name for name in names if isinstance(name, str)}
