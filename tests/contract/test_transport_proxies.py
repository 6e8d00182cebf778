"""The proxy of the environment."""

import asyncio

import pytest

from promptforge.adapters.llm.proxies import is_loopback, proxy_for
from promptforge.adapters.llm.transport import HttpReply, Transport
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure
from tests.contract.provider_server import ProviderServer, json_reply
from tests.contract.raw_server import raw_server, response

PATIENT = 10.0
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PROXY = "http://proxy.test:3128"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


async def outcome(url: str) -> HttpReply | CallFailure:
    transport = Transport(url, {"Authorization": "Bearer key"}, 1, 64 * 1024)
    try:
        return await transport.post("/path", {}, PATIENT)
    finally:
        await transport.close()


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://a.test", None),
        ({"HTTPS_PROXY": PROXY}, "https://a.test", PROXY),
        ({"https_proxy": PROXY}, "https://a.test", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http://a.test", None),
        ({"HTTP_PROXY": PROXY}, "http://a.test", PROXY),
        ({"HTTP_PROXY": PROXY}, "https://a.test", None),
        ({"ALL_PROXY": PROXY}, "https://a.test", PROXY),
        ({"ALL_PROXY": PROXY}, "http://a.test", PROXY),
        ({"ALL_PROXY": "http://other.test", "HTTPS_PROXY": PROXY}, "https://a.test", PROXY),
        ({"HTTPS_PROXY": "proxy.test:3128"}, "https://a.test", PROXY),
        ({"HTTPS_PROXY": ""}, "https://a.test", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.test"}, "https://a.test", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "test"}, "https://a.test", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".a.test"}, "https://b.a.test:8443", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "https://a.test", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "b.test, c.test"}, "https://a.test", PROXY),
        ({"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, "http://127.0.0.1:8000/v1", None),
        ({"HTTP_PROXY": PROXY}, "http://localhost:11434/v1", None),
        ({"HTTP_PROXY": PROXY}, "http://[::1]:11434/v1", None),
        ({"HTTP_PROXY": PROXY}, "http://10.0.0.1/v1", PROXY),
    ],
)
def test_proxy_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("host", "result"),
    [("localhost", True), ("a.localhost", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("a", False)],
)
def test_loopback_is_this_machine(host: str, result: bool) -> None:
    assert is_loopback(host) is result


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_call_goes_through_the_proxy(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, server.url.replace("http://", "http://user:word@"))
    server.reply = json_reply({"by": "proxy"})

    reply = await outcome("http://provider.invalid/v1")

    assert isinstance(reply, HttpReply)
    assert reply.body == {"by": "proxy"}
    (request,) = server.received
    assert request.headers["Host"] == "provider.invalid"
    assert request.headers["Authorization"] == "Bearer key"
    assert request.headers["Proxy-Authorization"].startswith("Basic ")


async def test_tls_connection_is_made_by_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"", status=b"403 Forbidden"))

    async with raw_server(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)

        failure = await outcome("https://provider.invalid/v1")

    assert proxy.lines == ["CONNECT provider.invalid:443 HTTP/1.1"]
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.NOT_SENT, "provider_unreachable")
    assert "The proxy rejects the connection to provider.invalid:443 (HTTP 403)" in failure.message


async def test_absent_proxy_is_named(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.close()
    monkeypatch.setenv("HTTP_PROXY", server.url)

    failure = await outcome("http://provider.invalid/v1")

    assert isinstance(failure, CallFailure)
    assert failure.kind is FailureKind.NOT_SENT
    assert f"the proxy {server.url.removeprefix('http://')}" in failure.message


async def test_proxy_of_another_kind_is_permanent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.test:1080")

    failure = await outcome("http://provider.invalid/v1")

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.permanent) == (FailureKind.NOT_SENT, True)
    assert "ALL_PROXY" in failure.message
