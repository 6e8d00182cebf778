"""Eventarc on this machine: storage's notifications in Pub/Sub become the events that a function is sent."""

import asyncio

import grpc
import orjson
from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import AcknowledgeRequest, PullRequest, ReceivedMessage, Subscription

from promptforge.entrypoints.events import STORAGE_EVENT_TYPE
from tests.fakes.gcs_emulator import Events
from tests.fakes.reverse_proxy import ReverseProxy

PULL_SECONDS = 10.0
AGAIN_SECONDS = 0.5


async def eventarc(events: Events, gate: ReverseProxy, bucket: str) -> None:
    """Send the splitter an event for every finalized object of a bucket, until it takes it; until cancelled."""
    name = f"projects/{events.project}/subscriptions/eventarc"
    topic = f"projects/{events.project}/topics/{events.topic}"
    async with grpc.aio.insecure_channel(events.pubsub_host) as channel, asyncio.TaskGroup() as deliveries:
        client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        await client.create_subscription(Subscription(name=name, topic=topic, ack_deadline_seconds=600))
        while True:
            try:
                request = PullRequest(subscription=name, max_messages=100)
                answer = await client.pull(request, retry=None, timeout=PULL_SECONDS)
            except DeadlineExceeded:
                continue
            ids = [received.ack_id for received in answer.received_messages]
            if ids:
                await client.acknowledge(AcknowledgeRequest(subscription=name, ack_ids=ids))
            for received in answer.received_messages:
                attributes = received.message.attributes
                if attributes["eventType"] == "OBJECT_FINALIZE" and attributes["bucketId"] == bucket:
                    deliveries.create_task(_deliver(gate, bucket, received))


async def _deliver(gate: ReverseProxy, bucket: str, received: ReceivedMessage) -> None:
    """In the form of https://cloud.google.com/eventarc/docs/cloudevents."""
    message = received.message
    info = orjson.loads(message.data)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": message.message_id,
        "ce-type": STORAGE_EVENT_TYPE,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "ce-subject": f"objects/{info['name']}",
        "ce-bucket": bucket,
        "content-type": "application/json; charset=utf-8",
    }
    while not await gate.post("splitter", headers, message.data):
        await asyncio.sleep(AGAIN_SECONDS)
