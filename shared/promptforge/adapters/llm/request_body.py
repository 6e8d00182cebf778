"""Parts of the request bodies that several providers share."""

from typing import Any

from promptforge.domain.formats.params import ResponseFormat
from promptforge.domain.formats.strict_schema import OPENAI_RULES, SchemaRules, strict_schema
from promptforge.ports.provider import CompletionRequest


def chat_messages(request: CompletionRequest) -> list[dict[str, str]]:
    """Return the conversation in the form of most providers, `system` as its first message."""
    messages = [message.model_dump() for message in request.messages] or [{"role": "user", "content": request.prompt}]
    system = request.params.system
    return [{"role": "system", "content": system}, *messages] if system else messages


def extract_system(request: CompletionRequest) -> tuple[str | None, list[dict[str, str]]]:
    """Return the system messages as one text, and all other messages."""
    messages = chat_messages(request)
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    return system or None, [message for message in messages if message["role"] != "system"]


def response_format_body(response_format: ResponseFormat | None) -> dict[str, Any] | None:
    """Return the response format in OpenAI's form, strict unless the client or the schema forbids it."""
    if response_format is None:
        return None
    if response_format.json_schema is None:
        return {"type": response_format.type}
    enforced = enforced_schema(response_format, OPENAI_RULES)
    schema = {
        "name": response_format.name or "answer",
        "description": response_format.description,
        "schema": response_format.json_schema if enforced is None else enforced,
        "strict": enforced is not None,
    }
    return {"type": response_format.type, "json_schema": drop_none(schema)}


def enforced_schema(response_format: ResponseFormat, rules: SchemaRules) -> dict[str, Any] | None:
    """Return the schema that a provider enforces, or None for one that is sent unchanged."""
    if response_format.json_schema is None or response_format.strict is False:
        return None
    return strict_schema(response_format.json_schema, rules)


def drop_none(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are set."""
    return {name: value for name, value in values.items() if value is not None}


def deep_merge(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Return the body with `extra` merged into it; objects in both are merged."""
    merged = dict(body)
    for name, value in extra.items():
        present = merged.get(name)
        merged[name] = deep_merge(present, value) if isinstance(present, dict) and isinstance(value, dict) else value
    return merged
