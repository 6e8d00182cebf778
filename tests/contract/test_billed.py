"""The billed tokens of replies without an answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptforge.ports.provider import CallFailure, CompletionRequest
from tests.contract.provider_adapters import PROVIDER_APIS, HttpAdapter
from tests.contract.provider_server import ProviderServer, json_reply

REQUEST = CompletionRequest("gpt-x", "Why is the sky blue?")
NO_ANSWER: dict[str, Any] = {"choices": [], "content": [], "candidates": []}


@pytest.fixture(params=sorted(PROVIDER_APIS))
async def http(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[HttpAdapter]:
    adapter = HttpAdapter(PROVIDER_APIS[request.param], server)
    yield adapter
    await adapter.close()


async def failure_of(http: HttpAdapter, body: object) -> CallFailure:
    http.server.reply = json_reply(body)
    failure = await http.make().complete(REQUEST, 10.0)
    assert isinstance(failure, CallFailure)
    return failure


async def test_failure_with_usage_reports_billed_tokens(http: HttpAdapter) -> None:
    failure = await failure_of(http, http.api.answer | NO_ANSWER)

    assert (failure.input_tokens, failure.output_tokens) == (5, 7)


@pytest.mark.parametrize("usage", [None, "x", 7, [], {}, {"prompt_tokens": "x"}])
async def test_failure_without_usage_reports_no_tokens(http: HttpAdapter, usage: object) -> None:
    failure = await failure_of(http, http.api.answer | NO_ANSWER | {"usage": usage, "usageMetadata": usage})

    assert (failure.input_tokens, failure.output_tokens) == (0, 0)


@pytest.mark.parametrize("body", [None, "x", [], {}])
async def test_failure_without_reply_reports_no_tokens(http: HttpAdapter, body: object) -> None:
    failure = await failure_of(http, body)

    assert (failure.input_tokens, failure.output_tokens) == (0, 0)
