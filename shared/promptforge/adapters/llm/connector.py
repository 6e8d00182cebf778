"""The pool of connections to a provider."""

import select
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class SafeConnector(aiohttp.TCPConnector):
    """A pool that reuses a connection only if the peer was silent since the last answer.

    A peer that sends a second response for one request would otherwise shift all answers. Each later request on the
    connection would get the response of an earlier one.
    """

    async def _get(self, key: "ConnectionKey", traces: list["Trace"]) -> "Connection | None":
        while (connection := await super()._get(key, traces)) is not None:
            if _is_silent(connection):
                return connection
            connection.close()
        return None


def _is_silent(connection: "Connection") -> bool:
    """Whether nothing arrived since the last response: in the buffers of the protocol, or of the system."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or protocol.should_close:
        return False
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return not poll.poll(0)
