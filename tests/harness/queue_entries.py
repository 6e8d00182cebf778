"""The entries of the local queue that are not delivered yet."""

from dataclasses import dataclass

from tests.harness.in_process import InProcessStack


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A message of a topic, a task of a queue or an event of a bucket, not delivered before `not_before`."""

    source: str
    body: bytes
    not_before: float


async def queue_entries(stack: InProcessStack, source: str) -> list[QueueEntry]:
    """Return the entries of a source such as `queue:worker`, in the order in which they were enqueued."""
    sql = "select source, body, not_before from deliveries where source = ? order by id"
    rows = await stack.database.read(lambda connection: connection.execute(sql, (source,)).fetchall())
    return [QueueEntry(*row) for row in rows]
