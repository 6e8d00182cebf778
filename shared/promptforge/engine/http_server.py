"""The HTTP servers of one machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from promptforge.entrypoints.responses import problem_response
from promptforge.errors import RequestError, SettingsError

DRAIN_SECONDS = 9


def bind(host: str, port: int) -> tuple[socket.socket, str]:
    """Return a listening socket and its URL.

    Raises SettingsError if the port is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=512)
    except OSError as exc:
        message = f"Cannot listen on {host} port {port}: {exc.strerror}. Choose another --port."
        raise SettingsError(message) from None
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return listening, f"http://{reachable}:{listening.getsockname()[1]}"


class Protocol(H11Protocol):
    """HTTP/1.1 that answers an invalid request with problem details, like every other error."""

    def send_400_response(self, msg: str) -> None:
        """Respond to an invalid request and close the connection."""
        detail = "The request is not valid HTTP, or its URL and headers are too long."
        response = problem_response(RequestError("malformed_request", detail))
        head = h11.Response(
            status_code=response.status_code, headers=[*response.raw_headers, (b"connection", b"close")]
        )
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class QuietServer(uvicorn.Server):
    """A server that leaves signals to its process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def public_server(app: ASGIApp) -> QuietServer:
    """Return a server for clients."""
    return QuietServer(
        uvicorn.Config(
            app,
            http=Protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
