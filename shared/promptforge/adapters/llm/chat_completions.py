"""The chat completions format, which OpenAI introduced and many servers use."""

from typing import Any

from promptforge.adapters.llm.http import (
    ProviderRequest,
    chat_messages,
    completion_or_failure,
    drop_none,
    response_format_body,
    text_or_none,
    token_count,
)
from promptforge.adapters.llm.transport import HttpReply
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason


class ChatCompletionsFormat:
    """Requests and replies of a chat completions endpoint.

    Subclasses name the endpoint and its peculiarities.
    """

    name: str
    key: str
    path: str
    seed_field: str
    max_tokens_field = "max_tokens"
    finish_reasons: dict[str, FinishReason]
    request_id_header: str

    def build_request(self, request: CompletionRequest) -> ProviderRequest:
        params = request.params
        fields = {
            self.max_tokens_field: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            self.seed_field: params.seed,
            "response_format": response_format_body(params.response_format),
        }
        body = {"model": request.model, "messages": chat_messages(request), **drop_none(fields)}
        return ProviderRequest(self.path, body)

    def parse_completion(self, reply: HttpReply, request: CompletionRequest) -> Completion | CallFailure:
        body = reply.body
        choice = body["choices"][0]
        if failure := self.choice_failure(choice):
            return failure
        reason = self.finish_reasons.get(choice.get("finish_reason"), FinishReason.OTHER)
        request_id = text_or_none(reply.headers.get(self.request_id_header))
        model = text_or_none(body.get("model")) or request.model
        text = self.answer_text(choice["message"])
        completion = Completion(text, model, *self.count_tokens(body), reason, request_id)
        return completion_or_failure(text, reason, completion)

    def choice_failure(self, choice: dict[str, Any]) -> CallFailure | None:
        """Return the failure that a choice reports instead of an answer."""
        return None

    def answer_text(self, message: dict[str, Any]) -> Any:
        """Return the text of an answer."""
        return message["content"]

    def count_tokens(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") or {}
        return token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))
