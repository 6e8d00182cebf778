"""Errors of the network as failures, with the address and the cause."""

import errno
import socket
import ssl
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure

INVALID_ADDRESS_ERRORS = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, OverflowError, UnicodeError)
UNKNOWN_HOST_ERRORS = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
NO_ROUTE_ERRORS = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
CERTIFICATE_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL
CERTIFICATE_OF_OTHER_HOST = 62  # X509_V_ERR_HOSTNAME_MISMATCH

BAD_RESPONSE = CallFailure(
    FailureKind.UNREADABLE, "provider_bad_response", "The provider's answer could not be understood."
)
UNWRITABLE = CallFailure(
    FailureKind.PROMPT, "prompt_rejected", "A number in the request has more than 64 bits: write it as a text."
)
TOO_LARGE = CallFailure(
    FailureKind.PROMPT,
    "provider_answer_too_large",
    "The provider's answer exceeds the size limit PROMPTFORGE_MAX_ANSWER_BYTES.",
)


def address_of(url: str) -> str:
    """Return HOST:PORT of a URL, without user and password."""
    try:
        parts = urlsplit(url)
        return _join(parts.hostname or "?", parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError:
        return "the provider"


def unreachable(cause: str, permanent: bool = False) -> CallFailure:
    """Return the failure of a call that was not sent."""
    return CallFailure(FailureKind.NOT_SENT, "provider_unreachable", cause, permanent=permanent)


def invalid_address(address: str) -> CallFailure:
    """Return the failure of every call to an address that no client can use."""
    return unreachable(f"The address {address} is invalid: correct the base URL.", permanent=True)


def timeout_failure(seconds: float) -> CallFailure:
    """Return the failure of a call without a complete answer in time."""
    message = (
        f"No complete answer arrived within {seconds:g} seconds."
        " Raise timeout_seconds of the job or PROMPTFORGE_CALL_TIMEOUT_SECONDS."
    )
    return CallFailure(FailureKind.TIMEOUT, "provider_timeout", message)


def network_failure(exc: Exception, address: str) -> CallFailure | None:
    """Return the failure of an exception of a call, or None if it is no error of the network.

    `address` is HOST:PORT of the provider.
    """
    if isinstance(exc, aiohttp.ClientConnectorError):
        return _connect_failure(exc)
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return unreachable(f"The proxy rejects the connection to {address} (HTTP {exc.status}).")
    if isinstance(exc, aiohttp.ConnectionTimeoutError):  # before the first byte of the request
        return unreachable(f"The connection to {address} timed out.")
    if isinstance(exc, INVALID_ADDRESS_ERRORS):
        return invalid_address(address)
    if isinstance(exc, aiohttp.ClientResponseError):  # the reply is not HTTP
        return BAD_RESPONSE
    if isinstance(exc, aiohttp.ClientPayloadError) and isinstance(exc.__cause__, ContentEncodingError):
        return BAD_RESPONSE
    if isinstance(exc, aiohttp.ClientError | OSError):
        message = f"The connection to {address} was lost before the answer was complete."
        return CallFailure(FailureKind.PROVIDER, "provider_connection_lost", message)
    return None


def _connect_failure(exc: aiohttp.ClientConnectorError) -> CallFailure:
    """Return the failure of a connection that was not made, to the provider or to a proxy."""
    address = _join(str(exc.host), exc.port)
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        address = f"the proxy {address}"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return unreachable(_certificate_cause(exc, address), permanent=True)
    number = exc.os_error.errno
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        if number in UNKNOWN_HOST_ERRORS:
            return unreachable(f"The host name of {address} does not exist: check the base URL.", permanent=True)
        return unreachable(f"The host name of {address} cannot be resolved at present.")
    if isinstance(exc, aiohttp.ClientConnectorSSLError):
        return unreachable(f"The TLS handshake with {address} failed: check http and https in the base URL.")
    if number == errno.ECONNREFUSED:
        return unreachable(f"Connection refused by {address}: check that the server runs and the base URL.")
    if number in NO_ROUTE_ERRORS:
        return unreachable(f"There is no route to {address}.")
    if number == errno.ETIMEDOUT:
        return unreachable(f"The connection to {address} timed out.")
    return unreachable(f"{address} could not be reached.")


def _certificate_cause(exc: aiohttp.ClientConnectorCertificateError, address: str) -> str:
    error = exc.certificate_error
    number = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if number == CERTIFICATE_EXPIRED:
        return f"The certificate of {address} is not trusted: it has expired."
    if number == CERTIFICATE_OF_OTHER_HOST:
        return f"The certificate of {address} is not trusted: it is for another host name."
    return (
        f"The certificate of {address} is not trusted:"
        " set SSL_CERT_FILE to a file with the certificate of its authority."
    )


def _join(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
