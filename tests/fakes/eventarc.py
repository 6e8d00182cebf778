"""A fake of Eventarc: it turns the notifications of a bucket in Pub/Sub into the events that a function receives."""

import asyncio

import grpc
import orjson
from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import AcknowledgeRequest, PullRequest, ReceivedMessage, Subscription

from promptforge.entrypoints.events import STORAGE_EVENT_TYPE
from tests.fakes.gcs_emulator import StorageEvents
from tests.fakes.reverse_proxy import ReverseProxy

PULL_SECONDS = 10.0
RETRY_SECONDS = 0.5


async def run_eventarc(events: StorageEvents, proxy: ReverseProxy, bucket: str) -> None:
    """Send the splitter an event per finalized object of a bucket, until cancelled.

    An event is retried until 2xx.
    """
    name = f"projects/{events.project}/subscriptions/eventarc"
    topic = f"projects/{events.project}/topics/{events.topic}"
    async with grpc.aio.insecure_channel(events.pubsub_host) as channel, asyncio.TaskGroup() as deliveries:
        client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        await client.create_subscription(Subscription(name=name, topic=topic, ack_deadline_seconds=600))
        while True:
            try:
                request = PullRequest(subscription=name, max_messages=100)
                response = await client.pull(request, retry=None, timeout=PULL_SECONDS)
            except DeadlineExceeded:
                continue
            ids = [received.ack_id for received in response.received_messages]
            if ids:
                await client.acknowledge(AcknowledgeRequest(subscription=name, ack_ids=ids))
            for received in response.received_messages:
                attributes = received.message.attributes
                if attributes["eventType"] == "OBJECT_FINALIZE" and attributes["bucketId"] == bucket:
                    deliveries.create_task(_deliver(proxy, bucket, received))


async def _deliver(proxy: ReverseProxy, bucket: str, received: ReceivedMessage) -> None:
    """Send an event in the format of https://cloud.google.com/eventarc/docs/cloudevents."""
    message = received.message
    resource = orjson.loads(message.data)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": message.message_id,
        "ce-type": STORAGE_EVENT_TYPE,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "ce-subject": f"objects/{resource['name']}",
        "ce-bucket": bucket,
        "content-type": "application/json; charset=utf-8",
    }
    while not await proxy.post("splitter", headers, message.data):
        await asyncio.sleep(RETRY_SECONDS)
