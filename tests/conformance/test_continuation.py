"""An answer in several replies is continued as the official SDK continues it."""

import pytest
from aiohttp import web

from promptforge.ports.provider import Completion, CompletionRequest
from tests.conformance.conftest import Pair
from tests.conformance.test_requests import compared_parts
from tests.contract.provider_replies import answer

on_one_loop = pytest.mark.asyncio(loop_scope="session")
REQUEST = CompletionRequest("model-1", "Why?")
TOKEN = "dG9rZW4="  # the SDK reads it as bytes


@on_one_loop
@pytest.mark.parametrize("pair", ["gemini"], indirect=True)
async def test_continuation_equals_continuation_of_sdk(pair: Pair) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        if "continuationToken" in await request.json():
            return web.json_response(answer("gemini", "cause."))
        return web.json_response(answer("gemini", "Be", "CONTINUATION", continuationToken=TOKEN))

    pair.server.reply = reply

    sdk_outcome, adapter_outcome = await pair.sdk_outcome(REQUEST), await pair.adapter_outcome(REQUEST)

    assert isinstance(adapter_outcome, Completion)
    assert not isinstance(sdk_outcome, str)
    assert adapter_outcome.text == sdk_outcome.text == "Because."
    requests = [compared_parts(request) for request in pair.server.received]
    assert requests[2:] == requests[:2]
