"""The requests by which the platform delivers to functions: which function receives a delivery, and in which form.

Storage events have the form of https://cloud.google.com/eventarc/docs/cloudevents, messages that of
https://cloud.google.com/pubsub/docs/push. Tasks have the headers of an event with a type of its own.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from promptforge.adapters.local.queue import Delivery
from promptforge.domain.commands import task_headers
from promptforge.domain.functions import FUNCTIONS
from promptforge.entrypoints.events import STORAGE_EVENT_TYPE


@dataclass(frozen=True, slots=True)
class Subscription:
    """The function that receives a source, the concurrent deliveries per worker process, and their deadline."""

    function: str
    concurrency: int
    ack_seconds: float


SUBSCRIPTIONS = {
    source.name: Subscription(function.name, source.concurrency, function.dispatch_seconds)
    for function in FUNCTIONS.values()
    if function.dispatch_seconds
    for source in function.sources
}


def push_request(delivery: Delivery) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a delivery: a binary-mode CloudEvent, or a Pub/Sub push."""
    kind, _, name = delivery.source.partition(":")
    number, now = str(delivery.id), datetime.now(UTC).isoformat().replace("+00:00", "Z")
    if kind == "topic":
        message = {"data": base64.b64encode(delivery.body).decode(), "messageId": number, "publishTime": now}
        push = {"subscription": f"projects/local/subscriptions/{name}", "message": message}
        return {"content-type": "application/json"}, orjson.dumps(push)
    headers = {**task_headers(name, number), "ce-time": now}
    if kind == "bucket":
        headers |= {
            "ce-type": STORAGE_EVENT_TYPE,
            "ce-source": f"//storage.googleapis.com/projects/_/buckets/{name}",
            "ce-subject": f"objects/{orjson.loads(delivery.body)['name']}",
            "ce-bucket": name,
        }
    return headers, delivery.body
