"""The four official SDKs, each called with one CompletionRequest.

They retry nothing here.
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


class Read(NamedTuple):
    """The result of an SDK."""

    text: str | None
    model: str
    input_tokens: int
    output_tokens: int


class Sdk(Protocol):
    """One SDK, set up for one address."""

    async def ask(self, question: CompletionRequest) -> Any:
        """Its answer; it raises what it raises."""
        ...

    def read(self, answer: Any) -> Read:
        """The fields of its answer that a Completion has."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class OpenAISdk:
    def __init__(self, url: str, key: str, seconds: float, max_tokens: str = "max_completion_tokens") -> None:
        self._client = openai.AsyncOpenAI(api_key=key, base_url=url + "/v1", max_retries=0, timeout=seconds)
        self._max_tokens = max_tokens

    async def ask(self, question: CompletionRequest) -> Any:
        params = question.params
        arguments: dict[str, Any] = {
            "messages": conversation(question, params.system),
            self._max_tokens: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "seed": params.seed,
            "response_format": chat_format(params, "schema"),
            **(params.extra or {}),
        }
        return await self._client.chat.completions.create(model=question.model, **given(arguments))

    def read(self, answer: Any) -> Read:
        usage = answer.usage
        text = answer.choices[0].message.content
        return Read(text, answer.model, usage.prompt_tokens, usage.completion_tokens)

    async def close(self) -> None:
        await self._client.close()


class CompatibleSdk(OpenAISdk):
    """The same SDK before a server that speaks like OpenAI, and still calls the limit by its old name."""

    def __init__(self, url: str, key: str, seconds: float) -> None:
        super().__init__(url, key, seconds, "max_tokens")


class AnthropicSdk:
    """It has no arguments for temperature and top_p any more: the version of the API that it speaks has none.

    Callers that need them send them as `extra_body` to the version before.
    """

    def __init__(self, url: str, key: str, seconds: float) -> None:
        self._client = anthropic.AsyncAnthropic(api_key=key, base_url=url, max_retries=0, timeout=seconds)

    async def ask(self, question: CompletionRequest) -> Any:
        params = question.params
        form = params.response_format
        arguments: dict[str, Any] = {
            "messages": conversation(question),
            "max_tokens": params.max_tokens or 4096,
            "system": system_of(question),
            "stop_sequences": params.stop,
            "output_config": form and {"format": {"type": "json_schema", "schema": form.json_schema}},
            **(params.extra or {}),
        }
        if sampling := given({"temperature": params.temperature, "top_p": params.top_p}):
            arguments |= {"extra_body": sampling, "extra_headers": {"anthropic-version": "2023-06-01"}}
        return await self._client.messages.create(model=question.model, **given(arguments))

    def read(self, answer: Any) -> Read:
        usage = answer.usage
        text = "".join(block.text for block in answer.content if block.type == "text")
        asked = usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        return Read(text, answer.model, asked, usage.output_tokens)

    async def close(self) -> None:
        await self._client.close()


class GeminiSdk:
    def __init__(self, url: str, key: str, seconds: float) -> None:
        once = genai.types.HttpRetryOptions(attempts=1)  # without it, a lost connection is called again after 1-10 s
        options = genai.types.HttpOptions(base_url=url, timeout=int(seconds * 1000), retry_options=once)
        self._client = genai.Client(api_key=key, http_options=options)

    async def ask(self, question: CompletionRequest) -> Any:
        params = question.params
        form = params.response_format
        config: dict[str, Any] = {
            "system_instruction": system_of(question),
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
            for turn in conversation(question)
        ]
        with warnings.catch_warnings():  # at its first call it subclasses aiohttp's session, and aiohttp warns
            warnings.filterwarnings("ignore", "Inheritance class AiohttpClientSession", DeprecationWarning)
            return await self._client.aio.models.generate_content(
                model=question.model, contents=contents, config=given(config)
            )

    def read(self, answer: Any) -> Read:
        usage = answer.usage_metadata
        asked = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
        made = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        return Read(answer.text, answer.model_version, asked, made)

    async def close(self) -> None:
        await self._client.aio.aclose()
        self._client.close()


class MistralSdk:
    def __init__(self, url: str, key: str, seconds: float) -> None:
        self._client = mistralai.client.Mistral(api_key=key, server_url=url, timeout_ms=int(seconds * 1000))

    async def ask(self, question: CompletionRequest) -> Any:
        params = question.params
        arguments: dict[str, Any] = {
            "messages": conversation(question, params.system),
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": params.stop,
            "random_seed": params.seed,
            "response_format": chat_format(params, "schema_definition"),
            **(params.extra or {}),
        }
        return await self._client.chat.complete_async(model=question.model, **given(arguments))

    def read(self, answer: Any) -> Read:
        usage, content = answer.usage, answer.choices[0].message.content
        text = content if isinstance(content, str) else "".join(one.text for one in content if one.type == "text")
        return Read(text, answer.model, usage.prompt_tokens, usage.completion_tokens)

    async def close(self) -> None:
        await self._client.__aexit__(None, None, None)


SDKS: dict[str, Callable[[str, str, float], Sdk]] = {
    "openai": OpenAISdk,
    "compatible": CompatibleSdk,
    "anthropic": AnthropicSdk,
    "gemini": GeminiSdk,
    "mistral": MistralSdk,
}


def conversation(question: CompletionRequest, *system: str | None) -> list[dict[str, str]]:
    """The turns.

    With no word about `system`, those of the system are left out: they go elsewhere.
    """
    turns = [{"role": turn.role, "content": turn.content} for turn in question.messages]
    turns = turns or [{"role": "user", "content": question.prompt}]
    if not system:
        return [turn for turn in turns if turn["role"] != "system"]
    return [*({"role": "system", "content": text} for text in system if text), *turns]


def system_of(question: CompletionRequest) -> str | None:
    """Return the system messages as one text."""
    said = [question.params.system, *(turn.content for turn in question.messages if turn.role == "system")]
    return "\n\n".join(text for text in said if text) or None


def chat_format(params: Params, schema: str) -> dict[str, Any] | None:
    """`response_format`; what holds the schema has two names among the SDKs, and one on the wire."""
    form = params.response_format
    if form is None or form.json_schema is None:
        return {"type": form.type} if form else None
    return {"type": form.type, "json_schema": {"name": "answer", schema: form.json_schema, "strict": True}}


def generation_config(params: Params) -> dict[str, Any]:
    """Return the configuration of `extra` in the SDK's spelling: candidateCount becomes candidate_count."""
    extra: Any = (params.extra or {}).get("generationConfig", {})
    return {"".join("_" + one.lower() if one.isupper() else one for one in name): extra[name] for name in extra}


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in arguments.items() if value is not None}
