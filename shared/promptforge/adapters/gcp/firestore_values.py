"""Values as Firestore keeps them.

A list or a map is kept as its JSON: only scalars are ever asked for, and Firestore would take no list in a list, no key
of any name, and no more than 20 levels, all of which a client's parameters may have.
"""

from typing import Any

import orjson
from google.cloud.firestore_v1.types import document
from google.protobuf.timestamp_pb2 import Timestamp

# The plain message: to write a chunk with the client's own types takes six times as long, to read it three times.
Value = document.Value.pb()


def encoded(value: Any) -> Any:
    """A value of a document, of exactly its type."""
    match value:
        case None:
            return Value(null_value=0)
        case bool():
            return Value(boolean_value=value)
        case int():
            return Value(integer_value=value)
        case float():
            return Value(double_value=value)
        case str():
            return Value(string_value=value)
    return Value(map_value={"fields": {"json": Value(string_value=orjson.dumps(value).decode())}})


def moment(seconds: float | None) -> Any:
    """A time in whole seconds as the timestamp that Firestore's expiry wants, or null."""
    return Value(null_value=0) if seconds is None else Value(timestamp_value=Timestamp(seconds=int(seconds)))


def decoded(value: Any) -> Any:
    """What was encoded."""
    match value.WhichOneof("value_type"):
        case "null_value":
            return None
        case "timestamp_value":
            return float(value.timestamp_value.seconds)
        case "map_value":
            return orjson.loads(value.map_value.fields["json"].string_value)
        case kind:
            return getattr(value, kind)


def timestamp(version: str) -> Any:
    """The time that a version is, to the last digit. Raises ValueError if it is none."""
    time = Timestamp()
    time.FromJsonString(version)
    return time
