"""Each failure is sent to the official SDK and to the adapter.

Where the SDK raises, the adapter has the documented class. An answer without a text is a failure here.
"""

import socket

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, CompletionRequest
from tests.conformance.conftest import KEY, Pair
from tests.conformance.failures import CASES, FailureCase
from tests.conformance.sdks import SDKS, SdkCompletion
from tests.contract.provider_server import Reply, cut_before_response, cut_during_body, json_reply, raw_reply

on_one_loop = pytest.mark.asyncio(loop_scope="session")
REQUEST = CompletionRequest("model-1", "canary: why?")
SHORT_SECONDS = 0.3

LOST_CONNECTION = {
    "openai": {"APIConnectionError"},
    "anthropic": {"APIConnectionError"},
    "gemini": {"ServerDisconnectedError", "ClientPayloadError"},
    "mistral": {"RemoteProtocolError", "ReadError"},
}
TIMEOUT = {
    "openai": {"APITimeoutError"},
    "anthropic": {"APITimeoutError"},
    "gemini": {"TimeoutError"},
    "mistral": {"ReadTimeout"},
}
REFUSED_CONNECTION = {
    "openai": {"APIConnectionError"},
    "anthropic": {"APIConnectionError"},
    "gemini": {"ClientConnectorError"},
    "mistral": {"ConnectError"},
}


@on_one_loop
@pytest.mark.parametrize(
    ("pair", "case"), [pytest.param(case.provider, case, id=case.id) for case in CASES], indirect=["pair"]
)
async def test_failure_matches_exception_of_sdk(pair: Pair, case: FailureCase) -> None:
    pair.server.reply = (
        raw_reply(case.body, case.status, {"Content-Type": "text/html"} | case.headers)
        if isinstance(case.body, bytes)
        else json_reply(case.body, case.status, case.headers)
    )

    sdk_outcome, failure = await pair.sdk_outcome(REQUEST), await pair.adapter_outcome(REQUEST)

    assert ("answer" if isinstance(sdk_outcome, SdkCompletion) else sdk_outcome) == case.sdk
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code, failure.retry_after_seconds) == (case.kind, case.code, case.wait)
    assert not {KEY, "canary"}.intersection(failure.message.split())
    assert len(pair.server.received) == 2


@on_one_loop
@pytest.mark.parametrize("pair", SDKS, indirect=True)
@pytest.mark.parametrize("cut", [cut_before_response, cut_during_body])
async def test_failure_of_lost_connection_matches_sdk(pair: Pair, cut: Reply) -> None:
    pair.server.reply = cut

    sdk_outcome, failure = await pair.sdk_outcome(REQUEST), await pair.adapter_outcome(REQUEST)

    assert sdk_outcome in LOST_CONNECTION[pair.provider]
    assert len(pair.server.received) == 2
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.PROVIDER, "provider_connection_lost")


@on_one_loop
@pytest.mark.parametrize("pair", SDKS, indirect=True)
async def test_failure_of_missing_reply_matches_sdk(pair: Pair) -> None:
    pair.server.reply = pair.server.hang
    impatient_pair = Pair(pair.name, pair.server, SHORT_SECONDS)

    sdk_outcome, failure = await impatient_pair.sdk_outcome(REQUEST), await impatient_pair.adapter_outcome(REQUEST)
    await impatient_pair.close()

    assert sdk_outcome in TIMEOUT[pair.provider]
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.TIMEOUT, "provider_timeout")


@on_one_loop
@pytest.mark.parametrize("pair", SDKS, indirect=True)
async def test_failure_of_refused_connection_matches_sdk(pair: Pair) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        absent = Pair(pair.name, pair.server, url=f"http://127.0.0.1:{bound.getsockname()[1]}")
        sdk_outcome, failure = await absent.sdk_outcome(REQUEST), await absent.adapter_outcome(REQUEST)
        await absent.close()

    assert sdk_outcome in REFUSED_CONNECTION[pair.provider]
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.NOT_SENT, "provider_unreachable")
