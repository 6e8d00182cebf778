"""Connections to Google's services, or to their emulators on this machine."""

from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.retry import AsyncRetry, if_exception_type
from google.auth.exceptions import DefaultCredentialsError

from promptforge.errors import SettingsError

ANSWER_SECONDS = 5.0  # a call without an answer by then is abandoned
RETRY_SECONDS = 3.0

NO_CREDENTIALS = (
    "There are no Google credentials here: run `gcloud auth application-default login`, or name a service account's "
    "key file in GOOGLE_APPLICATION_CREDENTIALS."
)

OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),  # gRPC's default of two minutes is longer than most outages
]

RETRY = AsyncRetry(
    if_exception_type(exceptions.Aborted, exceptions.InternalServerError, exceptions.ServiceUnavailable),
    initial=0.05,
    maximum=0.5,
    timeout=RETRY_SECONDS,
)
"""The retry of calls that may run twice. The defaults of the clients continue for one to ten minutes."""


def open_transport(transport: Any, emulator: str) -> Any:
    """Return a transport on a channel of the running event loop.

    It connects to the emulator at HOST:PORT, or to Google with the credentials of the environment. Raises SettingsError
    without credentials.
    """
    if emulator:
        return transport(channel=grpc.aio.insecure_channel(emulator, options=OPTIONS))
    try:
        return transport(channel=transport.create_channel(transport.DEFAULT_HOST, options=OPTIONS))
    except DefaultCredentialsError:
        raise SettingsError(NO_CREDENTIALS) from None
