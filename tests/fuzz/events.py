"""CloudEvents as strategies: requests to a function, from noise to a command with one error."""

import base64
import json

from hypothesis import strategies as st

from promptforge.domain.commands import TASK_EVENT_TYPE
from promptforge.entrypoints.events import PUBSUB_EVENT_TYPE, STORAGE_EVENT_TYPE
from tests.fuzz.texts import TOKENS, Json, scalars, texts, values

UNKNOWN_JOB = "00000000-0000-4000-8000-00000000000a"

job_ids = st.sampled_from(
    [
        *(
            UNKNOWN_JOB,
            UNKNOWN_JOB.upper(),
            UNKNOWN_JOB + "\n",
            UNKNOWN_JOB[:-1],
            UNKNOWN_JOB + "0",
            UNKNOWN_JOB.replace("-", ""),
            "../x",
            "",
        ),
        *(UNKNOWN_JOB.replace("0", "٣"), "\ud800", None, 7, True, [UNKNOWN_JOB], {"job_id": UNKNOWN_JOB}),
    ]
)
numbers = st.one_of(st.integers(-2, 3), st.sampled_from([10**18, 2**63, 2**64, 10**300, -1, 0.5, 1e300, "0", "", None]))
commands = st.fixed_dictionaries(
    {}, optional={"v": st.sampled_from([1, 1, 1, 2, "1", None]), "job_id": job_ids, "chunk": numbers, "x": values}
)


def pubsub(inner: Json, encoding: str) -> Json:
    """Return a Pub/Sub push request; `encoding` selects where it is malformed, if at all."""
    raw = json.dumps(inner).encode()
    forms: dict[str, Json] = {
        "base64": base64.b64encode(raw).decode(),
        "truncated": base64.b64encode(raw).decode()[:-1],
        "url": base64.urlsafe_b64encode(b"\xff\xfe" + raw).decode(),
        "plain": raw.decode(),
        "inner": inner,
    }
    return {"message": {"data": forms[encoding], "messageId": "1"}, "subscription": "s"}


envelopes = st.builds(
    pubsub, commands | values, st.sampled_from(["base64", "base64", "truncated", "url", "plain", "inner"])
)
broken_envelopes = st.fixed_dictionaries({}, optional={"message": values | st.fixed_dictionaries({"data": values})})
pushes = st.fixed_dictionaries(
    {},
    optional={
        "message": envelopes.map(lambda push: push["message"] if isinstance(push, dict) else push)
        | st.fixed_dictionaries(
            {}, optional={"data": texts | scalars, "attributes": values, "messageId": scalars, "orderingKey": texts}
        )
        | values,
        "subscription": texts | scalars,
        "deliveryAttempt": scalars,
    },
)
names = st.sampled_from(
    [f"{UNKNOWN_JOB}/input.jsonl", f"{UNKNOWN_JOB}/", f"{UNKNOWN_JOB}/input.jsonl/x", "/input.jsonl", "a\ud800"]
)
uploads = st.fixed_dictionaries({}, optional={"name": names | texts | scalars, "bucket": texts, "generation": scalars})
payloads = st.one_of(commands, envelopes, broken_envelopes, uploads, values)

kinds = st.sampled_from([PUBSUB_EVENT_TYPE, STORAGE_EVENT_TYPE, TASK_EVENT_TYPE])
odd_kinds = kinds | st.text(st.characters(min_codepoint=32, max_codepoint=255), min_size=1, max_size=20)


def binary(kind: str) -> dict[str, str]:
    """Return the headers of a valid event in binary mode."""
    return {
        "ce-specversion": "1.0",
        "ce-id": "7",
        "ce-source": "//test",
        "ce-type": kind,
        "content-type": "application/json",
    }


attributes: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {"specversion": st.sampled_from(["1.0", "1.0", "0.3", "9", "", None, 1, [], {}])},
    optional={
        "id": scalars,
        "source": scalars,
        "type": odd_kinds | values,
        "data": payloads,
        "data_base64": texts | scalars,
        "time": scalars,
        "datacontenttype": texts,
        "x": values,
    },
)
structured = attributes.map(lambda fields: json.dumps(fields).encode())
noise = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(TOKENS), max_size=8).map(b"".join))
header_names = st.sampled_from(["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-x", "ce-", "content-type"])
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12)
headers = st.one_of(
    odd_kinds.map(binary),
    st.dictionaries(header_names, header_values, max_size=6),
    st.just({"content-type": "application/cloudevents+json"}),
)
bodies = st.one_of(noise, structured, payloads.map(lambda data: json.dumps(data).encode()))
