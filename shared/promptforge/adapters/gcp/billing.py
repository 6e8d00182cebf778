"""The billed operations of Google's services, counted per call, so that a run has a price."""

from collections import Counter
from enum import StrEnum


class BilledOperation(StrEnum):
    """An operation with a price, or a free one that is worth counting."""

    DOCUMENT_READ = "document_read"  # a document read, or up to 1,000 index entries of a count or sum
    DOCUMENT_WRITE = "document_write"
    DOCUMENT_DELETE = "document_delete"
    CLASS_A = "class_a"  # objects: insert, compose, list
    CLASS_B = "class_b"  # objects: read
    OBJECT_DELETE = "object_delete"  # free
    PUBLISHED_MESSAGE = "published_message"  # free by itself: the bytes cost
    PUBLISHED_BYTE = "published_byte"  # at least 1,000 a request
    TASK = "task"
    SIGN = "sign"  # free up to a quota


class BilledOperations:
    """The count of each operation since the process started.

    One event loop adds to it, so it needs no lock.
    """

    def __init__(self) -> None:
        self.counts: Counter[BilledOperation] = Counter()

    def add(self, operation: BilledOperation, number: int = 1) -> None:
        """Add `number` operations."""
        self.counts[operation] += number
