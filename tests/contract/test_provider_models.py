"""The check of a model in the provider's list."""

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure
from tests.contract.provider_adapters import EchoAdapter, HttpAdapter
from tests.contract.provider_replies import error
from tests.contract.provider_server import ProviderServer, json_reply, raw_reply


async def test_unknown_model_is_not_found(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    server.reply = json_reply(error(http_adapter.api.name, 404, message="canary"), 404)

    failure = await http_adapter.make_own().check_model("a/b")

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.PROMPT, "model_not_found")
    assert "canary" not in repr(failure)
    (request,) = server.received
    assert (request.method, request.path, request.body) == ("GET", "/v1/models/a%2Fb", b"")


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 429, 500, 503])
async def test_other_status_is_no_failure(http_adapter: HttpAdapter, server: ProviderServer, status: int) -> None:
    server.reply = json_reply(error(http_adapter.api.name, status), status)

    assert await http_adapter.make_own().check_model("gpt-x") is None


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"[]", b"{}"])
async def test_404_without_an_error_is_no_failure(
    http_adapter: HttpAdapter, server: ProviderServer, content: bytes
) -> None:
    server.reply = raw_reply(content, 404)

    assert await http_adapter.make_own().check_model("gpt-x") is None


async def test_unreachable_provider_is_no_failure(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    await server.close()

    assert await http_adapter.make_own().check_model("gpt-x") is None


async def test_other_address_is_not_asked_for_a_model(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    server.reply = json_reply(error(http_adapter.api.name, 404), 404)

    assert await http_adapter.make().check_model("gpt-x") is None
    assert server.received == []


async def test_echo_has_every_model(server: ProviderServer) -> None:
    assert await EchoAdapter(server).answering().check_model("gpt-x") is None
