"""Deliveries as the CloudEvents that the platform sends: which function they go to, and in which form.

Forms: https://cloud.google.com/eventarc/docs/cloudevents for storage events and messages; our own tasks carry the
same headers with a type of their own.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from promptforge.adapters.local.deliveries import Delivery
from promptforge.edge import PUBSUB, STORAGE, TASK


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
}


def envelope(delivery: Delivery, event_id: str | None = None) -> tuple[dict[str, str], bytes]:
    """The headers and body of a delivery as a CloudEvent in binary mode."""
    kind, _, name = delivery.source.partition(":")
    body = delivery.body
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    headers = {"ce-specversion": "1.0", "ce-id": event_id or str(delivery.id), "ce-time": now}
    if kind == "bucket":
        info = orjson.loads(body)
        headers |= {
            "ce-type": STORAGE,
            "ce-source": f"//storage.googleapis.com/projects/_/buckets/{name}",
            "ce-subject": f"objects/{info['name']}",
            "ce-bucket": name,
        }
    elif kind == "topic":
        headers |= {"ce-type": PUBSUB, "ce-source": f"//pubsub.googleapis.com/projects/local/topics/{name}"}
        message = {"data": base64.b64encode(body).decode(), "messageId": headers["ce-id"], "publishTime": now}
        body = orjson.dumps({"subscription": f"projects/local/subscriptions/{name}", "message": message})
    else:
        headers |= {"ce-type": TASK, "ce-source": f"//promptforge/queues/{name}"}
    return headers | {"content-type": "application/json"}, body
