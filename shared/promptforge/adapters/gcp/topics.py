"""Topics in Pub/Sub.

Requests are filled here and awaited one by one. The client that batches by itself does so in threads, which an instance
may never run again after its response. It is also slower for messages that are all known at once.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from google.api_core import exceptions

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.grpc_channels import ANSWER_SECONDS, RETRY, open_transport
from promptforge.errors import Unavailable

if TYPE_CHECKING:
    from google.pubsub_v1.services.publisher import PublisherAsyncClient

MAX_REQUEST_MESSAGES = 1000
MAX_REQUEST_BYTES = 9_000_000  # of data; the limit of Pub/Sub is 10 MB with everything around it
MIN_BILLED_BYTES = 1000


class PubsubTopics:
    """The topics port.

    The topic `chunks` is `projects/{project}/topics/{prefix}chunks`.
    """

    def __init__(self, project: str, prefix: str, operations: BilledOperations, emulator: str = "") -> None:
        self._prefix = f"projects/{project}/topics/{prefix}"
        self._operations = operations
        self._emulator = emulator

    async def publish(self, topic: str, messages: Sequence[bytes]) -> None:
        from google.pubsub_v1.types import PublishRequest

        plain = PublishRequest.pb()  # the wrapper around it takes ten times as long
        for batch in _batches(messages):
            request = plain(topic=self._prefix + topic, messages=[{"data": message} for message in batch])
            try:
                await self._client.publish(PublishRequest.wrap(request), retry=RETRY, timeout=ANSWER_SECONDS)
            except exceptions.InvalidArgument as exc:
                raise ValueError("Pub/Sub takes messages of 1 byte to 10 MB") from exc
            except exceptions.GoogleAPIError as exc:
                raise Unavailable("pubsub", type(exc).__name__) from exc
            self._operations.add(BilledOperation.PUBLISHED_MESSAGE, len(batch))
            self._operations.add(BilledOperation.PUBLISHED_BYTE, max(MIN_BILLED_BYTES, sum(map(len, batch))))

    async def close(self) -> None:
        """Close the connection."""
        if "_client" in self.__dict__:
            await self._client.transport.close()

    @cached_property
    def _client(self) -> "PublisherAsyncClient":
        """The client.

        It belongs to the event loop, and its code is imported at the first use: few functions publish.
        """
        from google.pubsub_v1.services.publisher import PublisherAsyncClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

        return PublisherAsyncClient(transport=open_transport(PublisherGrpcAsyncIOTransport, self._emulator))


def _batches(messages: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield the messages in batches that fit into a request."""
    batch: list[bytes] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == MAX_REQUEST_MESSAGES or size + len(message) > MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message)
    if batch:
        yield batch
