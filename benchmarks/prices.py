"""The charges of Google Cloud for the usage of a run, without a free tier."""

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
EVENT_BYTES = 2000  # of the event for a complete upload
REQUEST_LOG_BYTES = 1500  # of the log line that the platform writes
OPERATIONS_PER_TASK = 2  # create and deliver
PROMPT_BYTES, RESULT_BYTES, RETENTION_MONTHS = 2000, 1000, 7 / 30

NOT_INCLUDED = (
    "instance starts, deletes of expired documents, Secret Manager, Scheduler and a run of the sweeper each minute "
    "(about $0.25 a month), a load balancer, taxes, and the charges of the provider"
)
ASSUMED = (
    f"an instance has {VCPUS} vCPU and {GIB} GiB and is billed while a request is in flight; {PROMPT_BYTES:,} bytes a "
    f"prompt, sent to the provider, {RESULT_BYTES:,} a result, downloaded once, both stored for 7 days"
)


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a bill: a number of units and the price of each."""

    name: str
    number: float
    price: float

    @property
    def dollars(self) -> float:
        """The amount of the line."""
        return self.number * self.price


def bill(usage: Usage, prompts: int, jobs: int, downloads: int) -> Iterator[Item]:
    """Yield the bill of a run, with the requests of its clients to the signed URLs."""
    count: Counter[str] = usage.operations
    requests, messages = usage.requests.total(), count["published_message"]
    pubsub = count["published_byte"] + MIN_DELIVERED_BYTES * messages + 2 * EVENT_BYTES * jobs
    yield Item("instance seconds", usage.busy_seconds, VCPUS * VCPU_SECOND + GIB * GIB_SECOND)
    yield Item("requests to functions", requests, REQUEST)
    yield Item("document writes", count["document_write"], DOCUMENT_WRITE)
    yield Item("document reads", count["document_read"], DOCUMENT_READ)
    yield Item("document deletes", count["document_delete"], DOCUMENT_DELETE)
    yield Item("class A operations", count["class_a"] + jobs, CLASS_A)
    yield Item("class B operations", count["class_b"] + downloads, CLASS_B)
    yield Item("Pub/Sub bytes", pubsub, PUBSUB_BYTE)
    yield Item("task operations", OPERATIONS_PER_TASK * count["task"], TASK_OPERATION)
    yield Item("log bytes", usage.log_bytes + REQUEST_LOG_BYTES * requests, LOG_BYTE)
    yield Item("bytes sent out", prompts * (PROMPT_BYTES + RESULT_BYTES), EGRESS_BYTE)
    yield Item("byte-months kept", prompts * (PROMPT_BYTES + RESULT_BYTES) * RETENTION_MONTHS, STORED_BYTE_MONTH)
