"""Connections to Google's services, or to their emulators on this machine."""

from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.retry import AsyncRetry, if_exception_type
from google.auth.exceptions import DefaultCredentialsError

from promptforge.errors import SettingsError

ANSWER_SECONDS = 5.0  # what has not answered by then is given up
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
    ("grpc.max_reconnect_backoff_ms", 1_000),  # gRPC's own two minutes would outlast what was the matter
]

RETRY = AsyncRetry(
    if_exception_type(exceptions.Aborted, exceptions.InternalServerError, exceptions.ServiceUnavailable),
    initial=0.05,
    maximum=0.5,
    timeout=RETRY_SECONDS,
)
"""For calls that may be made twice. The clients' own would go on for one to ten minutes."""


def connected(transport: Any, emulator: str) -> Any:
    """A transport on a channel of the running event loop: to the emulator at HOST:PORT if there is one, else to Google
    with the credentials of the environment. Raises SettingsError if it has none."""
    if emulator:
        return transport(channel=grpc.aio.insecure_channel(emulator, options=OPTIONS))
    try:
        return transport(channel=transport.create_channel(transport.DEFAULT_HOST, options=OPTIONS))
    except DefaultCredentialsError:
        raise SettingsError(NO_CREDENTIALS) from None
