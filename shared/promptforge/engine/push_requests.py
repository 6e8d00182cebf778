"""Deliveries as the platform sends them: which function they go to, and in which form.

Forms: https://cloud.google.com/eventarc/docs/cloudevents for storage events, https://cloud.google.com/pubsub/docs/push
for messages; our own tasks carry the headers of an event with a type of their own.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from promptforge.adapters.local.queue import Delivery
from promptforge.domain.commands import task_headers
from promptforge.entrypoints.http import STORAGE_EVENT_TYPE


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who receives a source, how many at once for each worker process, and how long one may take."""

    function: str
    at_once: int
    ack_seconds: float = 600.0


SUBSCRIPTIONS = {
    "bucket:uploads": Subscription("splitter", at_once=1),
    "queue:splitter": Subscription("splitter", at_once=1),
    "topic:chunks": Subscription("worker", at_once=4),
    "queue:worker": Subscription("worker", at_once=4),
    "queue:finalizer": Subscription("finalizer", at_once=2),
    "queue:sweeper": Subscription("sweeper", at_once=1),
    "queue:eraser": Subscription("eraser", at_once=1),
}


def push_request(delivery: Delivery) -> tuple[dict[str, str], bytes]:
    """The headers and body of a delivery: a CloudEvent in binary mode, or a push of Pub/Sub."""
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
