"""The billed tokens of replies without an answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptforge.ports.provider import CallFailure, CompletionRequest
from tests.contract.provider_bench import WIRES, HttpBench
from tests.contract.provider_server import ProviderServer, json_reply

QUESTION = CompletionRequest("gpt-x", "Why is the sky blue?")
NO_ANSWER: dict[str, Any] = {"choices": [], "content": [], "candidates": []}


@pytest.fixture(params=sorted(WIRES))
async def http(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[HttpBench]:
    bench = HttpBench(WIRES[request.param], server)
    yield bench
    await bench.close()


async def failure_of(http: HttpBench, body: object) -> CallFailure:
    http.server.reply = json_reply(body)
    failure = await http.make().complete(QUESTION, 10.0)
    assert isinstance(failure, CallFailure)
    return failure


async def test_failure_with_usage_reports_billed_tokens(http: HttpBench) -> None:
    failure = await failure_of(http, http.wire.answer | NO_ANSWER)

    assert (failure.input_tokens, failure.output_tokens) == (5, 7)


@pytest.mark.parametrize("usage", [None, "x", 7, [], {}, {"prompt_tokens": "x"}])
async def test_failure_without_usage_reports_no_tokens(http: HttpBench, usage: object) -> None:
    failure = await failure_of(http, http.wire.answer | NO_ANSWER | {"usage": usage, "usageMetadata": usage})

    assert (failure.input_tokens, failure.output_tokens) == (0, 0)


@pytest.mark.parametrize("body", [None, "x", [], {}])
async def test_failure_without_reply_reports_no_tokens(http: HttpBench, body: object) -> None:
    failure = await failure_of(http, body)

    assert (failure.input_tokens, failure.output_tokens) == (0, 0)
