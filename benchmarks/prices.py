"""What Google Cloud charges for what a run used. No free tier is taken off."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.metered import Usage

PRICED = "us-central1, list prices as noted in August 2026; check them before you rely on them"

VCPU_SECOND = 0.000024
GIB_SECOND = 0.0000025
REQUEST = 0.40 / 1e6
DOCUMENT_READ = 0.03 / 1e5
DOCUMENT_WRITE = 0.09 / 1e5
DOCUMENT_DELETE = 0.01 / 1e5
CLASS_A = 0.005 / 1e3
CLASS_B = 0.0004 / 1e3
PUBSUB_BYTE = 40 / 2**40  # published, and again delivered
TASK_OPERATION = 0.40 / 1e6
LOG_BYTE = 0.50 / 2**30
STORED_BYTE_MONTH = 0.020 / 2**30
EGRESS_BYTE = 0.12 / 2**30

VCPUS, GIB = 1, 1  # of every instance
MIN_DELIVERED_BYTES = 1000
EVENT_BYTES = 2000  # of the news that an upload is there
REQUEST_LOG_BYTES = 1500  # of the platform's own log line
OPERATIONS_A_TASK = 2  # to make it, and to deliver it
PROMPT_BYTES, RESULT_BYTES, KEPT_MONTHS = 2000, 1000, 7 / 30

LEFT_OUT = (
    "starts of instances, the deletes of expired documents, Secret Manager, Scheduler and a tick of the sweeper each "
    "minute (about $0.25 a month), a load balancer, taxes, and what the provider charges"
)
ASSUMED = (
    f"an instance has {VCPUS} vCPU and {GIB} GiB and is billed while a request is under way; {PROMPT_BYTES:,} bytes a "
    f"prompt, sent to the provider, {RESULT_BYTES:,} a result, downloaded once, both kept 7 days"
)


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a bill: so many at a price each."""

    what: str
    number: float
    price: float

    @property
    def dollars(self) -> float:
        """What it comes to."""
        return self.number * self.price


def bill(used: Usage, prompts: int, jobs: int, downloads: int) -> Iterator[Item]:
    """A run's bill, with what its clients did at the signed URLs."""
    count: Counter[str] = used.operations
    requests, messages = used.requests.total(), count["published_message"]
    pubsub = count["published_byte"] + MIN_DELIVERED_BYTES * messages + 2 * EVENT_BYTES * jobs
    yield Item("instance seconds", used.busy_seconds, VCPUS * VCPU_SECOND + GIB * GIB_SECOND)
    yield Item("requests to functions", requests, REQUEST)
    yield Item("document writes", count["document_write"], DOCUMENT_WRITE)
    yield Item("document reads", count["document_read"], DOCUMENT_READ)
    yield Item("document deletes", count["document_delete"], DOCUMENT_DELETE)
    yield Item("class A operations", count["class_a"] + jobs, CLASS_A)
    yield Item("class B operations", count["class_b"] + downloads, CLASS_B)
    yield Item("Pub/Sub bytes", pubsub, PUBSUB_BYTE)
    yield Item("task operations", OPERATIONS_A_TASK * count["task"], TASK_OPERATION)
    yield Item("log bytes", used.log_bytes + REQUEST_LOG_BYTES * requests, LOG_BYTE)
    yield Item("bytes sent out", prompts * (PROMPT_BYTES + RESULT_BYTES), EGRESS_BYTE)
    yield Item("byte-months kept", prompts * (PROMPT_BYTES + RESULT_BYTES) * KEPT_MONTHS, STORED_BYTE_MONTH)
