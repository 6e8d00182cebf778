"""What Google bills, counted where it is asked for, so that a run can be priced."""

from collections import Counter
from enum import StrEnum


class BilledOperation(StrEnum):
    """A thing that has a price, or, where it says so, only a number worth knowing."""

    DOCUMENT_READ = "document_read"  # a document that was asked for, or up to 1,000 index entries of a count or sum
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
    """A count of each, since the process began. One event loop adds to it, so it needs no lock."""

    def __init__(self) -> None:
        self.counts: Counter[BilledOperation] = Counter()

    def add(self, operation: BilledOperation, number: int = 1) -> None:
        """Count `number` more."""
        self.counts[operation] += number
