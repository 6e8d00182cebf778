"""Connections to Google's services, or to their emulators on this machine."""

import os
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.retry import AsyncRetry, if_exception_type

ANSWER_SECONDS = 5.0  # what has not answered by then is given up
RETRY_SECONDS = 3.0

OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),  # gRPC's own two minutes would outlast what was the matter
]

RETRY = AsyncRetry(
    if_exception_type(exceptions.Aborted, exceptions.InternalServerError, exceptions.ServiceUnavailable),
    initial=0.05,
    maximum=0.5,
    timeout=RETRY_SECONDS,
)
"""For calls that may be made twice. The clients' own would go on for one to ten minutes."""


def open_channel(transport: Any, host: str, emulator: str | None, variable: str) -> Any:
    """A channel of the running event loop, to the emulator at `emulator` or, as all Google clients do, at the address
    in `variable`; else to `host` with the credentials of the environment."""
    address = emulator or os.environ.get(variable)
    if address:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return transport.create_channel(host, options=OPTIONS)
