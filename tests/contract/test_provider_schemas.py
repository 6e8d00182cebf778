"""The schema of a response format in the request to each provider."""

import json
from typing import Any

import pytest

from promptforge.domain.formats.params import Params, ResponseFormat
from promptforge.ports.provider import CompletionRequest
from tests.contract.provider_adapters import HttpAdapter
from tests.contract.provider_replies import CHAT
from tests.contract.provider_server import ProviderServer

TEXT = {"type": "string"}
OPTIONAL = {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer", "minLength": 2}}, "required": ["a"]}
DESCRIBED = {"type": "integer", "description": "{minLength: 2}"}
CLOSED = {"additionalProperties": False}
NULLABLE = {"anyOf": [DESCRIBED, {"type": "null"}]}
ALL_REQUIRED = OPTIONAL | CLOSED | {"properties": {"a": TEXT, "b": NULLABLE}, "required": ["a", "b"]}
ENFORCED: dict[str, dict[str, Any]] = {
    "openai": ALL_REQUIRED,
    "mistral": ALL_REQUIRED,
    "anthropic": OPTIONAL | CLOSED | {"properties": {"a": TEXT, "b": DESCRIBED}},
    "gemini": OPTIONAL | {"properties": {"a": TEXT, "b": DESCRIBED}},
}


async def sent(adapter: HttpAdapter, server: ProviderServer, response_format: dict[str, Any]) -> Any:
    """Return the format in the request."""
    params = Params(response_format=ResponseFormat.model_validate(response_format))
    await adapter.answering().complete(CompletionRequest("gpt-x", "why?", params=params), 10.0)
    body = json.loads(server.received[-1].body)
    if adapter.api.name == "anthropic":
        return body["output_config"]["format"]
    return body["generationConfig"] if adapter.api.name == "gemini" else body["response_format"]["json_schema"]


def schema_of(adapter: HttpAdapter, form: Any) -> Any:
    return form["responseJsonSchema" if adapter.api.name == "gemini" else "schema"]


async def test_schema_is_sent_in_the_form_that_the_provider_enforces(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    form = await sent(http_adapter, server, {"type": "json_schema", "schema": OPTIONAL})

    assert schema_of(http_adapter, form) == ENFORCED[http_adapter.api.name]


async def test_schema_that_is_not_strict_is_sent_unchanged(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    form = await sent(http_adapter, server, {"type": "json_schema", "schema": OPTIONAL, "strict": False})

    assert schema_of(http_adapter, form) == OPTIONAL


async def test_schema_that_cannot_be_enforced_is_sent_unchanged(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    schema = {"type": "object", "additionalProperties": TEXT}

    form = await sent(http_adapter, server, {"type": "json_schema", "schema": schema})

    assert schema_of(http_adapter, form) == schema
    assert form.get("strict", False) is False


@pytest.mark.parametrize("http_adapter", CHAT, indirect=True)
@pytest.mark.parametrize("strict", [None, True, False])
async def test_chat_format_has_name_description_and_strictness(
    http_adapter: HttpAdapter, server: ProviderServer, strict: bool | None
) -> None:
    own = {"schema": OPTIONAL, "name": "words", "description": "Words.", "strict": strict}

    form = await sent(http_adapter, server, {"type": "json_schema", "json_schema": own})

    assert (form["name"], form["description"], form["strict"]) == ("words", "Words.", strict is not False)


@pytest.mark.parametrize("http_adapter", CHAT, indirect=True)
async def test_chat_format_without_a_name_is_named_answer(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    form = await sent(http_adapter, server, {"type": "json_schema", "schema": OPTIONAL})

    assert form == {"name": "answer", "schema": ALL_REQUIRED, "strict": True}
