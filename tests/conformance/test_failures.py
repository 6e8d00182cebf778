"""Each failure is sent to the official SDK and to the adapter.

Where the SDK raises, the adapter has the documented class. An answer without a text is a failure here.
"""

import socket

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, CompletionRequest
from tests.conformance.conftest import KEY, Pair
from tests.conformance.failures import ROWS, Row
from tests.conformance.sdks import SDKS, Read
from tests.contract.provider_server import Reply, cut_before_the_answer, cut_in_the_body, json_reply, raw_reply

on_one_loop = pytest.mark.asyncio(loop_scope="session")
QUESTION = CompletionRequest("model-1", "canary: why?")
SHORT_SECONDS = 0.3

BROKEN = {
    "openai": {"APIConnectionError"},
    "anthropic": {"APIConnectionError"},
    "gemini": {"ServerDisconnectedError", "ClientPayloadError"},
    "mistral": {"RemoteProtocolError", "ReadError"},
}
LATE = {
    "openai": {"APITimeoutError"},
    "anthropic": {"APITimeoutError"},
    "gemini": {"TimeoutError"},
    "mistral": {"ReadTimeout"},
}
ABSENT = {
    "openai": {"APIConnectionError"},
    "anthropic": {"APIConnectionError"},
    "gemini": {"ClientConnectorError"},
    "mistral": {"ConnectError"},
}


@on_one_loop
@pytest.mark.parametrize(
    ("pair", "row"), [pytest.param(row.provider, row, id=row.id) for row in ROWS], indirect=["pair"]
)
async def test_failure_matches_exception_of_sdk(pair: Pair, row: Row) -> None:
    pair.server.reply = (
        raw_reply(row.body, row.status, {"Content-Type": "text/html"} | row.headers)
        if isinstance(row.body, bytes)
        else json_reply(row.body, row.status, row.headers)
    )

    theirs, ours = await pair.theirs(QUESTION), await pair.ours(QUESTION)

    assert ("answer" if isinstance(theirs, Read) else theirs) == row.sdk
    assert isinstance(ours, CallFailure)
    assert (ours.kind, ours.code, ours.retry_after_seconds) == (row.kind, row.code, row.wait)
    assert not {KEY, "canary"}.intersection(ours.message.split())
    assert len(pair.server.received) == 2


@on_one_loop
@pytest.mark.parametrize("pair", SDKS, indirect=True)
@pytest.mark.parametrize("cut", [cut_before_the_answer, cut_in_the_body])
async def test_failure_of_lost_connection_matches_sdk(pair: Pair, cut: Reply) -> None:
    pair.server.reply = cut

    theirs, ours = await pair.theirs(QUESTION), await pair.ours(QUESTION)

    assert theirs in BROKEN[pair.provider]
    assert len(pair.server.received) == 2
    assert isinstance(ours, CallFailure)
    assert (ours.kind, ours.code) == (FailureKind.UNKNOWN, "provider_connection_lost")


@on_one_loop
@pytest.mark.parametrize("pair", SDKS, indirect=True)
async def test_failure_of_missing_reply_matches_sdk(pair: Pair) -> None:
    pair.server.reply = pair.server.hang
    hasty = Pair(pair.name, pair.server, SHORT_SECONDS)

    theirs, ours = await hasty.theirs(QUESTION), await hasty.ours(QUESTION)
    await hasty.close()

    assert theirs in LATE[pair.provider]
    assert isinstance(ours, CallFailure)
    assert (ours.kind, ours.code) == (FailureKind.UNKNOWN, "provider_timeout")


@on_one_loop
@pytest.mark.parametrize("pair", SDKS, indirect=True)
async def test_failure_of_refused_connection_matches_sdk(pair: Pair) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        lost = Pair(pair.name, pair.server, url=f"http://127.0.0.1:{bound.getsockname()[1]}")
        theirs, ours = await lost.theirs(QUESTION), await lost.ours(QUESTION)
        await lost.close()

    assert theirs in ABSENT[pair.provider]
    assert isinstance(ours, CallFailure)
    assert (ours.kind, ours.code) == (FailureKind.NOT_SENT, "provider_unreachable")
