"""How each provider writes: what it is asked, what it answers, and how it refuses."""

from typing import Any, ClassVar

import orjson
from aiohttp import web

CANARY = "CANARY provider text"
INPUT_TOKENS, OUTPUT_TOKENS = 5, 7

Json = dict[str, Any]


class OpenAIFormat:
    """POST /v1/chat/completions."""

    name = "openai"
    base = "/v1"
    path = "/v1/chat/completions"

    def read(self, request: web.Request, body: bytes) -> tuple[str, str]:
        asked = orjson.loads(body)
        return asked["messages"][-1]["content"], asked["model"]

    def answer(self, prompt: str, model: str) -> web.Response:
        return _json(_completion(prompt.upper(), model), 200, **{"x-request-id": "req-1"})

    def refusal(self, status: int, code: str = "", **headers: str) -> web.Response:
        kind = {401: "invalid_api_key", 429: "rate_limit_exceeded", 503: "server_is_overloaded"}
        error = {"message": CANARY, "type": "some_type", "param": None, "code": code or kind.get(status, "some_code")}
        return _json({"error": error}, status, **headers)

    def overloaded(self) -> web.Response:
        return self.refusal(503)

    def spent(self) -> web.Response:
        return self.refusal(429, "insufficient_quota", **{"Retry-After": "1"})

    def empty(self) -> web.Response:
        return _json({"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "usage": {}})


class MistralFormat(OpenAIFormat):
    """POST /v1/chat/completions, with errors of its own."""

    name = "mistral"
    base = ""

    def refusal(self, status: int, code: str = "", **headers: str) -> web.Response:
        body = {"object": "error", "message": CANARY, "type": "some_type", "param": None, "code": "1300"}
        if status in (401, 402):
            body = {"detail": CANARY}
        return _json(body, status, **headers)

    def overloaded(self) -> web.Response:
        return self.refusal(503, **{"Retry-After": "0.5"})

    def spent(self) -> web.Response:
        message = f"{CANARY}: monthly limit reached, wait until the next billing cycle"
        return _json({"object": "error", "message": message, "type": "some_type", "code": "1301"}, 429)


class AnthropicFormat:
    """POST /v1/messages."""

    name = "anthropic"
    base = ""
    path = "/v1/messages"
    kinds: ClassVar = {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }

    def read(self, request: web.Request, body: bytes) -> tuple[str, str]:
        asked = orjson.loads(body)
        if type(asked["max_tokens"]) is not int or "anthropic-version" not in request.headers:
            raise ValueError("Anthropic answers 400 to that")
        return asked["messages"][-1]["content"], asked["model"]

    def answer(self, prompt: str, model: str) -> web.Response:
        return _json(self._message(model, [{"type": "text", "text": prompt.upper()}]), 200, **{"request-id": "req-1"})

    def refusal(self, status: int, **headers: str) -> web.Response:
        error = {"type": self.kinds.get(status, "api_error"), "message": CANARY}
        return _json({"type": "error", "error": error, "request_id": "req-1"}, status, **headers)

    def overloaded(self) -> web.Response:
        return self.refusal(529)

    def spent(self) -> web.Response:
        details = {"error_code": "enforced_spend_limit_reached"}
        error = {"type": "rate_limit_error", "message": CANARY, "details": details}
        return _json({"type": "error", "error": error}, 429, **{"Retry-After": "1"})

    def empty(self) -> web.Response:
        return _json(self._message("some-model", []))

    def _message(self, model: str, content: list[Json]) -> Json:
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
        made = {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content, **made}


class GeminiFormat:
    """POST /v1/models/MODEL:generateContent, or below another version."""

    name = "gemini"
    base = ""
    path = "/{version}/models/{model}:generateContent"
    kinds: ClassVar = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        402: "FAILED_PRECONDITION",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }

    def read(self, request: web.Request, body: bytes) -> tuple[str, str]:
        return orjson.loads(body)["contents"][-1]["parts"][-1]["text"], request.match_info["model"]

    def answer(self, prompt: str, model: str) -> web.Response:
        content = {"role": "model", "parts": [{"text": prompt.upper()}]}
        return _json(self._reply(model, [{"content": content, "finishReason": "STOP", "index": 0}]))

    def refusal(self, status: int, **headers: str) -> web.Response:
        """Google has no Retry-After: the wait stands in the body."""
        wait = headers.pop("Retry-After", None)
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait}s"}
        return self._error(status, [self._quota("PerMinute"), *([info] if wait else [])], **headers)

    def overloaded(self) -> web.Response:
        return self.refusal(503)

    def spent(self) -> web.Response:
        return self._error(429, [self._quota("PerDay")])

    def empty(self) -> web.Response:
        return _json(self._reply("some-model", []))

    def _quota(self, span: str) -> Json:
        violation = {"quotaId": f"GenerateRequests{span}PerProjectPerModel", "quotaValue": "50"}
        return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}

    def _error(self, status: int, details: list[Json], **headers: str) -> web.Response:
        error = {"code": status, "message": CANARY, "status": self.kinds.get(status, "UNKNOWN"), "details": details}
        return _json({"error": error}, status, **headers)

    def _reply(self, model: str, candidates: list[Json]) -> Json:
        total = INPUT_TOKENS + OUTPUT_TOKENS
        usage = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS, "totalTokenCount": total}
        return {"candidates": candidates, "usageMetadata": usage, "modelVersion": model, "responseId": "req-1"}


AnyFormat = OpenAIFormat | AnthropicFormat | GeminiFormat

FORMATS: dict[str, AnyFormat] = {
    each.name: each for each in (OpenAIFormat(), AnthropicFormat(), GeminiFormat(), MistralFormat())
}


def _completion(text: str, model: str) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    total = INPUT_TOKENS + OUTPUT_TOKENS
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}
    made = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1}
    return {**made, "model": model, "choices": [choice], "usage": usage}


def _json(content: object, status: int = 200, **headers: str) -> web.Response:
    body = orjson.dumps(content)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
