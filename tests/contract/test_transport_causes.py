"""Calls that were not sent: the cause, the address, and whether waiting can help."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from promptforge.adapters.llm.transport import HttpReply, Transport
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure
from tests.contract.provider_server import ProviderServer
from tests.contract.raw_server import raw_server, response

PATIENT = 10.0
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


async def failure_of(url: str) -> CallFailure:
    reply = await outcome(url)
    assert isinstance(reply, CallFailure)
    assert (reply.kind, reply.code) == (FailureKind.NOT_SENT, "provider_unreachable")
    return reply


async def outcome(url: str) -> HttpReply | CallFailure:
    transport = Transport(url, {"Authorization": "Bearer key"}, 1, 64 * 1024)
    try:
        return await transport.post("/path", {}, PATIENT)
    finally:
        await transport.close()


async def answer(number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b'"secure"'))


class Certificate:
    """A certificate that signs itself, in a file with its key."""

    def __init__(self, folder: Path, host: str = "localhost", ends: datetime.datetime = NOW + DAY) -> None:
        self.file = folder / "certificate.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
        builder = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), NOW - 9 * DAY, ends
        )
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


async def test_refused_connection_names_the_address() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"

        failure = await failure_of(f"http://{address}")

    assert f"Connection refused by {address}" in failure.message
    assert not failure.permanent


@pytest.mark.parametrize("host", ["no-such-host.invalid", "no-such-host.test:8080"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_unknown_host_is_permanent(host: str, scheme: str) -> None:
    failure = await failure_of(f"{scheme}://{host}")

    assert host in failure.message
    assert "does not exist" in failure.message
    assert failure.permanent


async def test_host_name_that_cannot_be_resolved_at_present_is_not_permanent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    assert not (await failure_of("http://provider.test")).permanent


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999", "ftp://127.0.0.1", "no address", f"http://{'x' * 70}.test", "http://[::1"]
)
async def test_invalid_address_is_permanent(url: str) -> None:
    failure = await failure_of(url)

    assert "base URL" in failure.message
    assert failure.permanent


async def test_address_with_a_password_is_permanent_and_the_password_is_not_shown(server: ProviderServer) -> None:
    failure = await failure_of(server.url.replace("http://", "http://user:canary@"))

    assert "canary" not in failure.message
    assert server.url.removeprefix("http://") in failure.message
    assert failure.permanent
    assert server.received == []


async def test_untrusted_certificate_is_permanent_and_names_the_remedy(tmp_path: Path) -> None:
    async with raw_server(answer, Certificate(tmp_path).context()) as raw:
        failure = await failure_of(raw.url)

        assert raw.lines == []
    assert "is not trusted: set SSL_CERT_FILE" in failure.message
    assert raw.url.removeprefix("https://") in failure.message
    assert failure.permanent


async def test_certificate_of_ssl_cert_file_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = Certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))

    async with raw_server(answer, certificate.context()) as raw:
        reply = await outcome(raw.url)

    assert isinstance(reply, HttpReply)
    assert reply.body == "secure"


@pytest.mark.parametrize(
    ("host", "days", "cause"), [("other.test", 1, "for another host name"), ("localhost", -1, "has expired")]
)
async def test_trusted_certificate_may_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, days: int, cause: str
) -> None:
    certificate = Certificate(tmp_path, host, NOW + days * DAY)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))

    async with raw_server(answer, certificate.context()) as raw:
        failure = await failure_of(raw.url)

    assert cause in failure.message
    assert failure.permanent


async def test_tls_to_a_server_without_it_is_not_permanent(server: ProviderServer) -> None:
    failure = await failure_of(server.url.replace("http://", "https://"))

    assert "TLS" in failure.message
    assert not failure.permanent
