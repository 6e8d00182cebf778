"""The chat completions format, which OpenAI introduced and many servers use."""

import re
from typing import Any
from urllib.parse import quote

from promptforge.adapters.llm.answer import REFUSED, Answer, Usage, join_parts, make_usage
from promptforge.adapters.llm.error_report import ErrorReport, clean_text
from promptforge.adapters.llm.provider_format import Body, ProviderFormat, ProviderRequest
from promptforge.adapters.llm.rejections import rejects_parameter
from promptforge.adapters.llm.request_body import chat_messages, drop_none, response_format_body
from promptforge.adapters.llm.transport import HttpReply
from promptforge.domain.lru_cache import LruCache
from promptforge.ports.provider import CallFailure, CompletionRequest, FinishReason

LIMIT_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""The two names of the output limit. OpenAI renamed it; most compatible servers did not."""

LIMIT_NAME = re.compile(r"\bmax(?:_completion)?_tokens\b")
MAX_REMEMBERED_MODELS = 1000
THOUGHT_FIELDS = ("reasoning", "reasoning_content")
THOUGHT_PARTS = ("reasoning", "thinking")


class ChatCompletionsFormat(ProviderFormat):
    """Requests and replies of a chat completions endpoint.

    Subclasses name the endpoint and its peculiarities.
    """

    path: str
    models_path: str
    seed_field: str
    max_tokens_field = "max_tokens"
    finish_reasons: dict[str, FinishReason]
    request_id_header: str

    def __init__(self) -> None:
        self._limit_names: LruCache[str, str] = LruCache(MAX_REMEMBERED_MODELS)

    def build_request(self, request: CompletionRequest) -> ProviderRequest:
        params = request.params
        fields = {
            self._limit_names.get(request.model) or self.max_tokens_field: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            self.seed_field: params.seed,
            "response_format": response_format_body(params.response_format),
        }
        body = {"model": request.model, "messages": chat_messages(request), **drop_none(fields)}
        return ProviderRequest(self.path, body)

    def parse_answer(self, reply: HttpReply, request: CompletionRequest) -> Answer | CallFailure:
        body = reply.body
        choice = body["choices"][0]
        message = _message(choice)
        if message.get("refusal"):
            return REFUSED
        content, word = message.get("content"), choice.get("finish_reason")
        text = join_parts(content)
        reason = self.finish_reasons.get(word, FinishReason.OTHER) if isinstance(word, str) else FinishReason.OTHER
        if not text and (message.get("tool_calls") or message.get("function_call")):
            reason = FinishReason.TOOL
        return Answer(
            text,
            reason,
            clean_text(body.get("model")) or request.model,
            self.read_usage(body),
            clean_text(reply.headers.get(self.request_id_header)),
            word if isinstance(word, str) else None,
            any(message.get(name) for name in THOUGHT_FIELDS) or _has_thoughts(content),
        )

    def read_usage(self, body: Any) -> Usage:
        usage = body.get("usage")
        if not isinstance(usage, dict):
            return Usage()
        details = usage.get("completion_tokens_details")
        reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
        return make_usage([usage.get("prompt_tokens")], usage.get("completion_tokens"), reasoning)

    def embedded_error(self, body: Any) -> Body | None:
        """Return the error at the top, or in the first choice."""
        if error := super().embedded_error(body):
            return error
        choices = body.get("choices") if isinstance(body, dict) else None
        error = choices[0].get("error") if choices else None
        return error if isinstance(error, dict) or not error else {"message": error}

    def model_path(self, model: str) -> str:
        return f"{self.models_path}/{quote(model, safe='')}"

    def renamed_limit(self, body: Body, report: ErrorReport) -> Body | None:
        present = [name for name in LIMIT_NAMES if name in body]
        if len(present) != 1:
            return None
        (name,) = present
        named = {report.identifiers.param, *LIMIT_NAME.findall(report.message)}
        if not named.intersection(LIMIT_NAMES) or not (rejects_parameter(report) or named >= LIMIT_NAMES.keys()):
            return None
        return {LIMIT_NAMES[name] if field == name else field: value for field, value in body.items()}

    def remember_limit(self, model: str, body: Body) -> None:
        self._limit_names.put(model, next(name for name in LIMIT_NAMES if name in body))


def _message(choice: dict[str, Any]) -> dict[str, Any]:
    """Return the message of a choice: the last of several, which Mistral sends after calls of its own tools."""
    messages = choice.get("messages")
    message: dict[str, Any] = choice.get("message") or (messages[-1] if messages else {})
    return message


def _has_thoughts(content: Any) -> bool:
    parts = content if isinstance(content, list) else []
    return any(isinstance(part, dict) and part.get("type") in THOUGHT_PARTS for part in parts)
