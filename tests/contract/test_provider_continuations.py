"""Answers that a provider delivers in several replies: Gemini's CONTINUATION and Anthropic's pause_turn."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from tests.contract.provider_adapters import Body, HttpAdapter
from tests.contract.provider_replies import answer
from tests.contract.provider_server import ProviderServer, Reply, json_reply

REQUEST = CompletionRequest("gpt-x", "why?")
REASONS = {"anthropic": "pause_turn", "gemini": "CONTINUATION"}
both = pytest.mark.parametrize("http_adapter", sorted(REASONS), indirect=True)


def part(provider: str, text: str, token: str | None = "token-1") -> Body:
    """Return a part of an answer that goes on."""
    more: dict[str, Any] = {"continuationToken": token} if provider == "gemini" else {}
    return answer(provider, text, REASONS[provider], **more)


def in_turn(replies: Sequence[Reply]) -> Reply:
    """Return a server that repeats its last reply."""
    left = list(replies)

    async def reply(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return reply


@both
async def test_parts_are_joined_and_their_tokens_added(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    name = http_adapter.api.name
    server.reply = in_turn(
        [json_reply(part(name, "Be")), json_reply(part(name, "ca")), json_reply(answer(name, "use."))]
    )

    completion = await http_adapter.make().complete(REQUEST, 10.0)

    assert isinstance(completion, Completion)
    assert (completion.text, completion.finish_reason) == ("Because.", FinishReason.STOP)
    assert (completion.input_tokens, completion.output_tokens) == (15, 21)
    assert len(server.received) == 3


@both
async def test_each_request_continues_the_part_before(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    name = http_adapter.api.name
    server.reply = in_turn([json_reply(part(name, "Be")), json_reply(answer(name, "cause."))])

    await http_adapter.make().complete(REQUEST, 10.0)

    first, second = (json.loads(request.body) for request in server.received)
    if name == "gemini":
        assert second == first | {"continuationToken": "token-1"}
    else:
        turn = {"role": "assistant", "content": [{"type": "text", "text": "Be"}]}
        assert second == first | {"messages": [*first["messages"], turn]}


@both
async def test_answer_that_never_ends_is_left_after_five_continuations(
    http_adapter: HttpAdapter, server: ProviderServer
) -> None:
    server.reply = json_reply(part(http_adapter.api.name, "a"))

    completion = await http_adapter.make().complete(REQUEST, 10.0)

    assert isinstance(completion, Completion)
    assert completion.text == "a" * 6
    assert completion.finish_reason in (FinishReason.LENGTH, FinishReason.OTHER)
    assert len(server.received) == 6


@both
@pytest.mark.parametrize(("status", "kind"), [(500, FailureKind.PROVIDER), (429, FailureKind.THROTTLED)])
async def test_failed_continuation_fails_the_call_with_the_tokens_so_far(
    http_adapter: HttpAdapter, server: ProviderServer, status: int, kind: FailureKind
) -> None:
    server.reply = in_turn([json_reply(part(http_adapter.api.name, "Be")), json_reply({}, status)])

    failure = await http_adapter.make().complete(REQUEST, 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.kind is kind
    assert (failure.input_tokens, failure.output_tokens) == (5, 7)


@both
async def test_all_continuations_share_one_timeout(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    server.reply = in_turn([json_reply(part(http_adapter.api.name, "Be")), server.hang])

    failure = await http_adapter.make().complete(REQUEST, 0.3)

    assert isinstance(failure, CallFailure)
    assert failure.kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("http_adapter", ["gemini"], indirect=True)
@pytest.mark.parametrize("token", [None, "", 7])
async def test_gemini_part_without_token_is_cut_off(
    http_adapter: HttpAdapter, server: ProviderServer, token: Any
) -> None:
    server.reply = json_reply(part("gemini", "Be", token))

    completion = await http_adapter.make().complete(REQUEST, 10.0)

    assert isinstance(completion, Completion)
    assert (completion.text, completion.finish_reason) == ("Be", FinishReason.LENGTH)
    assert len(server.received) == 1


@pytest.mark.parametrize("http_adapter", ["gemini"], indirect=True)
@pytest.mark.parametrize(("seconds", "sent"), [(10.0, "10"), (0.4, "1"), (600.0, "600")])
async def test_gemini_gets_the_timeout_of_the_call(
    http_adapter: HttpAdapter, server: ProviderServer, seconds: float, sent: str
) -> None:
    await http_adapter.answering().complete(REQUEST, seconds)

    assert server.received[0].headers["X-Server-Timeout"] == sent
