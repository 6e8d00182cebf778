"""The request and response formats of the providers: completions, errors and malformed responses."""

from typing import Any, ClassVar

import orjson
from aiohttp import web

CANARY = "CANARY provider text"
INPUT_TOKENS, OUTPUT_TOKENS = 5, 7

Json = dict[str, Any]


class OpenAIFormat:
    """OpenAI: POST /v1/chat/completions."""

    name = "openai"
    base = "/v1"
    path = "/v1/chat/completions"

    def parse_request(self, request: web.Request, body: bytes) -> tuple[str, str]:
        parsed = orjson.loads(body)
        return parsed["messages"][-1]["content"], parsed["model"]

    def completion_response(self, prompt: str, model: str) -> web.Response:
        return _json(_completion(prompt.upper(), model), 200, **{"x-request-id": "req-1"})

    def error_response(self, status: int, code: str = "", **headers: str) -> web.Response:
        codes = {401: "invalid_api_key", 429: "rate_limit_exceeded", 503: "server_is_overloaded"}
        error = {"message": CANARY, "type": "some_type", "param": None, "code": code or codes.get(status, "some_code")}
        return _json({"error": error}, status, **headers)

    def overloaded(self) -> web.Response:
        return self.error_response(503)

    def quota_exhausted(self) -> web.Response:
        return self.error_response(429, "insufficient_quota", **{"Retry-After": "1"})

    def empty_response(self) -> web.Response:
        return _json({"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "usage": {}})


class MistralFormat(OpenAIFormat):
    """Mistral: POST /v1/chat/completions, with another error format."""

    name = "mistral"
    base = ""

    def error_response(self, status: int, code: str = "", **headers: str) -> web.Response:
        body = {"object": "error", "message": CANARY, "type": "some_type", "param": None, "code": "1300"}
        if status in (401, 402):
            body = {"detail": CANARY}
        return _json(body, status, **headers)

    def overloaded(self) -> web.Response:
        return self.error_response(503, **{"Retry-After": "0.5"})

    def quota_exhausted(self) -> web.Response:
        message = f"{CANARY}: monthly limit reached, wait until the next billing cycle"
        return _json({"object": "error", "message": message, "type": "some_type", "code": "1301"}, 429)


class AnthropicFormat:
    """Anthropic: POST /v1/messages."""

    name = "anthropic"
    base = ""
    path = "/v1/messages"
    error_types: ClassVar = {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }

    def parse_request(self, request: web.Request, body: bytes) -> tuple[str, str]:
        parsed = orjson.loads(body)
        if type(parsed["max_tokens"]) is not int or "anthropic-version" not in request.headers:
            raise ValueError("Anthropic rejects a request without integer max_tokens or without anthropic-version")
        return parsed["messages"][-1]["content"], parsed["model"]

    def completion_response(self, prompt: str, model: str) -> web.Response:
        return _json(self._message(model, [{"type": "text", "text": prompt.upper()}]), 200, **{"request-id": "req-1"})

    def error_response(self, status: int, **headers: str) -> web.Response:
        error = {"type": self.error_types.get(status, "api_error"), "message": CANARY}
        return _json({"type": "error", "error": error, "request_id": "req-1"}, status, **headers)

    def overloaded(self) -> web.Response:
        return self.error_response(529)

    def quota_exhausted(self) -> web.Response:
        details = {"error_code": "enforced_spend_limit_reached"}
        error = {"type": "rate_limit_error", "message": CANARY, "details": details}
        return _json({"type": "error", "error": error}, 429, **{"Retry-After": "1"})

    def empty_response(self) -> web.Response:
        return _json(self._message("some-model", []))

    def _message(self, model: str, content: list[Json]) -> Json:
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
        rest = {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content, **rest}


class GeminiFormat:
    """Gemini: POST /VERSION/models/MODEL:generateContent."""

    name = "gemini"
    base = ""
    path = "/{version}/models/{model}:generateContent"
    error_statuses: ClassVar = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        402: "FAILED_PRECONDITION",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }

    def parse_request(self, request: web.Request, body: bytes) -> tuple[str, str]:
        return orjson.loads(body)["contents"][-1]["parts"][-1]["text"], request.match_info["model"]

    def completion_response(self, prompt: str, model: str) -> web.Response:
        content = {"role": "model", "parts": [{"text": prompt.upper()}]}
        return _json(self._generated(model, [{"content": content, "finishReason": "STOP", "index": 0}]))

    def error_response(self, status: int, **headers: str) -> web.Response:
        """Return an error.

        Google sends no Retry-After header: the body holds the delay.
        """
        retry_after = headers.pop("Retry-After", None)
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after}s"}
        return self._error(status, [self._quota("PerMinute"), *([info] if retry_after else [])], **headers)

    def overloaded(self) -> web.Response:
        return self.error_response(503)

    def quota_exhausted(self) -> web.Response:
        return self._error(429, [self._quota("PerDay")])

    def empty_response(self) -> web.Response:
        return _json(self._generated("some-model", []))

    def _quota(self, period: str) -> Json:
        violation = {"quotaId": f"GenerateRequests{period}PerProjectPerModel", "quotaValue": "50"}
        return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}

    def _error(self, status: int, details: list[Json], **headers: str) -> web.Response:
        error = {
            "code": status,
            "message": CANARY,
            "status": self.error_statuses.get(status, "UNKNOWN"),
            "details": details,
        }
        return _json({"error": error}, status, **headers)

    def _generated(self, model: str, candidates: list[Json]) -> Json:
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
    rest = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1}
    return {**rest, "model": model, "choices": [choice], "usage": usage}


def _json(content: object, status: int = 200, **headers: str) -> web.Response:
    body = orjson.dumps(content)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
