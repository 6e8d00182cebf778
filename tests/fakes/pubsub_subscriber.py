"""A subscriber to topics of the Pub/Sub emulator."""

import time
from typing import Self

import grpc
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import AcknowledgeRequest, PullRequest, Subscription, Topic

RECEIVE_SECONDS = 30.0


class Subscriber:
    """Creates topics and one subscription to each."""

    def __init__(self, address: str, project: str, topics: list[str]) -> None:
        self._address = address
        self._project = f"projects/{project}"
        self._topics = topics

    async def __aenter__(self) -> Self:
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.aio.insecure_channel(self._address, options=options)
        publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=self._channel))
        self._client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=self._channel))
        for name in self._topics:
            topic = f"{self._project}/topics/{name}"
            await publisher.create_topic(Topic(name=topic))
            subscription = Subscription(name=self._subscription(name), topic=topic, ack_deadline_seconds=60)
            await self._client.create_subscription(subscription)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def receive(self, topic: str, count: int) -> list[bytes]:
        """Receive and acknowledge messages until there are at least `count`."""
        subscription = self._subscription(topic)
        deadline = time.monotonic() + RECEIVE_SECONDS
        messages: list[bytes] = []
        while len(messages) < count:
            request = PullRequest(subscription=subscription, max_messages=1000)
            response = await self._client.pull(request, timeout=max(deadline - time.monotonic(), 0))
            if response.received_messages:
                ids = [received.ack_id for received in response.received_messages]
                await self._client.acknowledge(AcknowledgeRequest(subscription=subscription, ack_ids=ids))
            messages += [received.message.data for received in response.received_messages]
        return messages

    def _subscription(self, topic: str) -> str:
        return f"{self._project}/subscriptions/{topic}"
