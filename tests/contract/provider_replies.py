"""Answers and errors in the form of each provider."""

from typing import Any

from tests.contract.provider_adapters import PROVIDER_APIS, Body

STOP = {"openai": "stop", "mistral": "stop", "anthropic": "end_turn", "gemini": "STOP"}
LENGTH = {"openai": "length", "mistral": "length", "anthropic": "max_tokens", "gemini": "MAX_TOKENS"}
CHAT = ("openai", "mistral")


def answer(provider: str, content: Any, reason: str | None = None, usage: Body | None = None, **more: Any) -> Body:
    """Return an answer.

    `content` is a text, or the parts in the provider's form. `more` are further fields of the choice or the message.
    """
    word = STOP[provider] if reason is None else reason
    if provider in CHAT:
        message = {"role": "assistant", "content": content}
        changed: Body = {"choices": [{"index": 0, "finish_reason": word, "message": message, **more}]}
        named = {"usage": usage}
    elif provider == "anthropic":
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        changed = {"content": parts, "stop_reason": word, **more}
        named = {"usage": usage}
    else:
        parts = [{"text": content}] if isinstance(content, str) else content
        changed = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": word, **more}]}
        named = {"usageMetadata": usage}
    return PROVIDER_APIS[provider].answer | changed | (named if usage is not None else {})


def error(provider: str, status: int, name: str = "x", message: str = "m", **more: Any) -> Body:
    """Return an error with a name of the provider's form: a code, a type, or a status."""
    if provider == "openai":
        return {"error": {"message": message, "type": "t", "param": None, "code": name, **more}}
    if provider == "anthropic":
        return {"type": "error", "error": {"type": name, "message": message, **more}}
    if provider == "gemini":
        return {"error": {"code": status, "message": message, "status": name, **more}}
    return {"object": "error", "message": message, "type": name, "param": None, "code": "1300", **more}
