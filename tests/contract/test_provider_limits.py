"""The output limit: its two names, the default, and answers that it cut off before any text."""

import json
from typing import Any

import pytest
from aiohttp import web

from promptforge.adapters.llm.openai import max_tokens_field
from promptforge.domain.formats.params import Params
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.contract.provider_adapters import HttpAdapter
from tests.contract.provider_replies import CHAT, LENGTH, answer, error
from tests.contract.provider_server import ProviderServer, Reply, json_reply

LIMITED = CompletionRequest("gpt-x", "why?", params=Params(max_tokens=9))
OLD, NEW = "max_tokens", "max_completion_tokens"
EMPTY: dict[str, Any] = {"openai": "", "mistral": "", "anthropic": [], "gemini": []}
LIMIT_EXTRAS: dict[str, dict[str, Any]] = {
    "openai": {"max_completion_tokens": 5},
    "mistral": {"max_tokens": 5},
    "anthropic": {"max_tokens": 5},
    "gemini": {"generationConfig": {"maxOutputTokens": 5}},
}
chat_only = pytest.mark.parametrize("http_adapter", CHAT, indirect=True)


def rejecting(adapter: HttpAdapter, *fields: str, body: dict[str, Any] | None = None, status: int = 400) -> Reply:
    """Return a server that rejects requests with one of these fields."""

    async def reply(request: web.Request) -> web.StreamResponse:
        sent = await request.json()
        for field in fields:
            if field in sent:
                fault = body or {"error": {"message": "m", "param": field, "code": "unsupported_parameter"}}
                return web.json_response(fault, status=status)
        return web.json_response(adapter.api.answer)

    return reply


def limits(server: ProviderServer) -> list[list[str]]:
    """Return the names of the limit in each request."""
    return [[name for name in (OLD, NEW) if name in json.loads(request.body)] for request in server.received]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", NEW),
        ("https://eu.api.openai.com/v1", NEW),
        ("https://us.api.openai.com/v1", NEW),
        ("https://API.openai.com:443/v1", NEW),
        ("https://mine.openai.azure.com/openai/v1", NEW),
        ("https://mine.services.ai.azure.com/openai/v1", NEW),
        ("https://api.groq.com/openai/v1", OLD),
        ("https://openrouter.ai/api/v1", OLD),
        ("https://openai.com.example.org/v1", OLD),
        ("http://localhost:11434/v1", OLD),
        ("http://[/v1", OLD),
    ],
)
def test_name_of_the_limit_follows_the_host(url: str, name: str) -> None:
    assert max_tokens_field(url) == name


@chat_only
@pytest.mark.parametrize(
    "body",
    [
        None,
        {"error": {"message": "Use max_completion_tokens in place of max_tokens.", "code": None}},
        {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model."}},
        {"object": "error", "message": "Unrecognized request argument supplied: max_tokens"},
        {"detail": [{"loc": ["body", "max_tokens"], "type": "extra_forbidden"}]},
    ],
)
@pytest.mark.parametrize("status", [400, 422])
async def test_rejected_name_of_the_limit_is_replaced_and_remembered(
    http_adapter: HttpAdapter, server: ProviderServer, body: dict[str, Any] | None, status: int
) -> None:
    server.reply = rejecting(http_adapter, OLD, body=body, status=status)
    provider = http_adapter.make()

    answers = [await provider.complete(LIMITED, 10.0) for _ in range(3)]

    assert all(isinstance(answer, Completion) for answer in answers)
    assert limits(server) == [[OLD], [NEW], [NEW], [NEW]]
    assert json.loads(server.received[1].body)[NEW] == 9


@pytest.mark.parametrize("http_adapter", ["openai"], indirect=True)
async def test_new_name_of_the_limit_is_replaced_by_the_old_one(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    server.reply = rejecting(http_adapter, NEW)

    assert isinstance(await http_adapter.make_own().complete(LIMITED, 10.0), Completion)
    assert limits(server) == [[NEW], [OLD]]


@chat_only
async def test_name_of_the_limit_is_remembered_for_its_model_only(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    server.reply = rejecting(http_adapter, OLD)
    provider = http_adapter.make()

    await provider.complete(LIMITED, 10.0)
    server.received.clear()
    await provider.complete(CompletionRequest("other", "why?", params=LIMITED.params), 10.0)

    assert limits(server) == [[OLD], [NEW]]


@chat_only
async def test_limit_rejected_under_both_names_is_the_first_failure(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    server.reply = rejecting(http_adapter, OLD, NEW)

    failure = await http_adapter.make().complete(LIMITED, 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.error is not None
    assert (failure.code, failure.error.param) == ("unsupported_parameter", OLD)
    assert limits(server) == [[OLD], [NEW]]


@chat_only
@pytest.mark.parametrize(
    ("message", "param"),
    [("max_tokens is too large: 99. This model supports at most 8 tokens.", OLD), ("x", "temperature"), ("x", None)],
)
async def test_other_rejection_is_not_called_again(
    http_adapter: HttpAdapter, server: ProviderServer, message: str, param: str | None
) -> None:
    server.reply = rejecting(http_adapter, OLD, body={"error": {"message": message, "param": param, "code": "invalid"}})

    failure = await http_adapter.make().complete(LIMITED, 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.kind is FailureKind.PROMPT
    assert len(server.received) == 1


@chat_only
async def test_second_name_of_the_limit_is_not_a_second_chance_for_other_failures(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    replies = [json_reply(error("openai", 400, "unsupported_parameter", param=OLD), 400), json_reply({}, 500)]

    async def reply(request: web.Request) -> web.StreamResponse:
        return await replies.pop(0)(request)

    server.reply = reply

    failure = await http_adapter.make().complete(LIMITED, 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.kind is FailureKind.PROVIDER


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("given", [None, 9])
async def test_larger_limit_helps_where_the_limit_was_the_default(
    http_adapter: HttpAdapter, server: ProviderServer, given: int | None, extra: bool
) -> None:
    name = http_adapter.api.name
    server.reply = json_reply(answer(name, EMPTY[name], LENGTH[name]))
    params = Params(max_tokens=given, extra=LIMIT_EXTRAS[name] if extra else None)

    failure = await http_adapter.make().complete(CompletionRequest("gpt-x", "why?", params=params), 10.0)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.PROMPT, "empty_answer")
    assert failure.larger_limit_helps is (name == "anthropic" and given is None and not extra)


THOUGHTS: dict[str, Any] = {
    "openai": [{"type": "reasoning", "summary": []}],
    "mistral": [{"type": "thinking", "thinking": []}],
    "anthropic": [{"type": "thinking", "thinking": "Hm."}],
    "gemini": [{"text": "Hm.", "thought": True}],
}


async def test_larger_limit_helps_where_thoughts_used_it_up(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    name = http_adapter.api.name
    server.reply = json_reply(answer(name, THOUGHTS[name], LENGTH[name]))

    failure = await http_adapter.make().complete(LIMITED, 10.0)

    assert isinstance(failure, CallFailure)
    assert (failure.code, failure.larger_limit_helps) == ("empty_answer", True)


@pytest.mark.parametrize(
    ("http_adapter", "reason"),
    [("anthropic", "model_context_window_exceeded"), ("mistral", "model_length")],
    indirect=["http_adapter"],
)
async def test_larger_limit_does_not_help_a_full_context_window(
    http_adapter: HttpAdapter, server: ProviderServer, reason: str
) -> None:
    server.reply = json_reply(answer(http_adapter.api.name, THOUGHTS[http_adapter.api.name], reason))

    failure = await http_adapter.make().complete(CompletionRequest("gpt-x", "why?"), 10.0)

    assert isinstance(failure, CallFailure)
    assert (failure.code, failure.larger_limit_helps) == ("empty_answer", False)
