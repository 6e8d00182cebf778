"""The four official SDKs, each called with one CompletionRequest.

Their retries are disabled.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import anthropic
import mistralai.client
import openai
from google import genai

from promptforge.domain.formats.params import Params
from promptforge.ports.provider import CompletionRequest


class SdkCompletion(NamedTuple):
    """The result of an SDK."""

    text: str | None
    model: str
    input_tokens: int
    output_tokens: int


class Sdk(Protocol):
    """One SDK, configured for one address."""

    async def complete(self, request: CompletionRequest) -> Any:
        """Call the provider and return the SDK's answer.

        Raises the SDK's own exceptions.
        """
        ...

    def read(self, answer: Any) -> SdkCompletion:
        """Return the fields of an answer that a Completion has."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class OpenAISdk:
    def __init__(self, url: str, key: str, seconds: float, max_tokens: str = "max_completion_tokens") -> None:
        self._client = openai.AsyncOpenAI(api_key=key, base_url=url + "/v1", max_retries=0, timeout=seconds)
        self._max_tokens = max_tokens

    async def complete(self, request: CompletionRequest) -> Any:
        params = request.params
        arguments: dict[str, Any] = {
            "messages": conversation(request, params.system),
            self._max_tokens: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "seed": params.seed,
            "response_format": chat_format(params, "schema"),
            **(params.extra or {}),
        }
        return await self._client.chat.completions.create(model=request.model, **drop_none(arguments))

    def read(self, answer: Any) -> SdkCompletion:
        usage = answer.usage
        text = answer.choices[0].message.content
        return SdkCompletion(text, answer.model, usage.prompt_tokens, usage.completion_tokens)

    async def close(self) -> None:
        await self._client.close()


class CompatibleSdk(OpenAISdk):
    """The OpenAI SDK in front of a compatible server, which still uses the old name of the token limit."""

    def __init__(self, url: str, key: str, seconds: float) -> None:
        super().__init__(url, key, seconds, "max_tokens")


class AnthropicSdk:
    """The Anthropic SDK.

    It has no arguments for temperature and top_p, because its version of the API has none. A caller sends them as
    `extra_body` to the previous version.
    """

    def __init__(self, url: str, key: str, seconds: float) -> None:
        self._client = anthropic.AsyncAnthropic(api_key=key, base_url=url, max_retries=0, timeout=seconds)

    async def complete(self, request: CompletionRequest) -> Any:
        params = request.params
        form = params.response_format
        arguments: dict[str, Any] = {
            "messages": conversation(request),
            "max_tokens": params.max_tokens or 16_384,
            "system": system_of(request),
            "stop_sequences": params.stop,
            "output_config": form and {"format": {"type": "json_schema", "schema": form.json_schema}},
            **(params.extra or {}),
        }
        if sampling := drop_none({"temperature": params.temperature, "top_p": params.top_p}):
            arguments |= {"extra_body": sampling, "extra_headers": {"anthropic-version": "2023-06-01"}}
        return await self._client.messages.create(model=request.model, **drop_none(arguments))

    def read(self, answer: Any) -> SdkCompletion:
        usage = answer.usage
        text = "".join(block.text for block in answer.content if block.type == "text")
        input_tokens = (
            usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        )
        return SdkCompletion(text, answer.model, input_tokens, usage.output_tokens)

    async def close(self) -> None:
        await self._client.close()


class GeminiSdk:
    def __init__(self, url: str, key: str, seconds: float) -> None:
        once = genai.types.HttpRetryOptions(attempts=1)  # otherwise the SDK repeats a lost call after 1-10 s
        options = genai.types.HttpOptions(base_url=url, timeout=int(seconds * 1000), retry_options=once)
        self._client = genai.Client(api_key=key, http_options=options)

    async def complete(self, request: CompletionRequest) -> Any:
        params = request.params
        form = params.response_format
        config: dict[str, Any] = {
            "system_instruction": system_of(request),
            "max_output_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop_sequences": params.stop,
            "seed": params.seed,
            "response_mime_type": "application/json" if form else None,
            "response_json_schema": form and form.json_schema,
            **generation_config(params),
        }
        roles = {"user": "user", "assistant": "model"}
        contents = [
            genai.types.Content(role=roles[turn["role"]], parts=[genai.types.Part(text=turn["content"])])
            for turn in conversation(request)
        ]
        with warnings.catch_warnings():  # its first call subclasses aiohttp's session, and aiohttp warns
            warnings.filterwarnings("ignore", "Inheritance class AiohttpClientSession", DeprecationWarning)
            return await self._client.aio.models.generate_content(
                model=request.model, contents=contents, config=drop_none(config)
            )

    def read(self, answer: Any) -> SdkCompletion:
        usage = answer.usage_metadata
        input_tokens = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
        output_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        return SdkCompletion(answer.text, answer.model_version, input_tokens, output_tokens)

    async def close(self) -> None:
        await self._client.aio.aclose()
        self._client.close()


class MistralSdk:
    def __init__(self, url: str, key: str, seconds: float) -> None:
        self._client = mistralai.client.Mistral(api_key=key, server_url=url, timeout_ms=int(seconds * 1000))

    async def complete(self, request: CompletionRequest) -> Any:
        params = request.params
        arguments: dict[str, Any] = {
            "messages": conversation(request, params.system),
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "random_seed": params.seed,
            "response_format": chat_format(params, "schema_definition"),
            **(params.extra or {}),
        }
        return await self._client.chat.complete_async(model=request.model, **drop_none(arguments))

    def read(self, answer: Any) -> SdkCompletion:
        usage, content = answer.usage, answer.choices[0].message.content
        text = content if isinstance(content, str) else "".join(one.text for one in content if one.type == "text")
        return SdkCompletion(text, answer.model, usage.prompt_tokens, usage.completion_tokens)

    async def close(self) -> None:
        await self._client.__aexit__(None, None, None)


SDKS: dict[str, Callable[[str, str, float], Sdk]] = {
    "openai": OpenAISdk,
    "compatible": CompatibleSdk,
    "anthropic": AnthropicSdk,
    "gemini": GeminiSdk,
    "mistral": MistralSdk,
}


def conversation(request: CompletionRequest, *system: str | None) -> list[dict[str, str]]:
    """Return the messages of a request.

    Without an argument `system`, the system messages are omitted: the caller sends them in another field.
    """
    turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
    turns = turns or [{"role": "user", "content": request.prompt}]
    if not system:
        return [turn for turn in turns if turn["role"] != "system"]
    return [*({"role": "system", "content": text} for text in system if text), *turns]


def system_of(request: CompletionRequest) -> str | None:
    """Return the system messages as one text."""
    texts = [request.params.system, *(turn.content for turn in request.messages if turn.role == "system")]
    return "\n\n".join(text for text in texts if text) or None


def chat_format(params: Params, schema: str) -> dict[str, Any] | None:
    """Return `response_format`, whose field for the schema has two names among the SDKs and one in the API."""
    form = params.response_format
    if form is None or form.json_schema is None:
        return {"type": form.type} if form else None
    return {"type": form.type, "json_schema": {"name": "answer", schema: form.json_schema, "strict": True}}


def generation_config(params: Params) -> dict[str, Any]:
    """Return the configuration of `extra` in the SDK's spelling: candidateCount becomes candidate_count."""
    extra: Any = (params.extra or {}).get("generationConfig", {})
    return {"".join("_" + one.lower() if one.isupper() else one for one in name): extra[name] for name in extra}


def drop_none(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that have a value."""
    return {name: value for name, value in arguments.items() if value is not None}
