import json
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from promptforge.domain.commands import (
    DERIVED,
    RANDOM,
    JobCommand,
    JobUploaded,
    ProcessChunk,
    SweepJobs,
    is_job_id,
    make_job_id,
)
from promptforge.state.objects import upload_object, uploaded_job

JOB_ID = "01234567-89ab-4def-8123-456789abcdef"

NOT_JOB_IDS = [
    "",
    "x",
    "job_" + "0123456789abcdef" * 2,
    JOB_ID[:-1],
    JOB_ID + "0",
    JOB_ID.upper(),
    JOB_ID.replace("a", "A"),
    JOB_ID + "\n",
    " " + JOB_ID,
    JOB_ID + "/",
    "../" + JOB_ID,
    JOB_ID.replace("0", "\u0660"),
    JOB_ID.replace("-", ""),
    JOB_ID.replace("-", "_"),
    "{" + JOB_ID + "}",
    "urn:uuid:" + JOB_ID,
]
FOREIGN_UPLOADS = [
    "",
    "/",
    "input.jsonl",
    JOB_ID,
    f"{JOB_ID}/",
    f"{JOB_ID}/other.jsonl",
    f"{JOB_ID}/input.jsonl/evil",
    f"{JOB_ID}/input.jsonl/",
    f"{JOB_ID}//input.jsonl",
    f"{JOB_ID}/INPUT.JSONL",
    f"{JOB_ID}/input.jsonl\n",
    f"/{JOB_ID}/input.jsonl",
    f"../{JOB_ID}/input.jsonl",
    f"{JOB_ID}/../input.jsonl",
    f"uploads/{JOB_ID}/input.jsonl",
    "x/input.jsonl",
    "x/input.jsonl/evil",
    f"{JOB_ID}0/input.jsonl",
    f"{JOB_ID}\n/input.jsonl",
    f"{JOB_ID.upper()}/input.jsonl",
]


@given(st.integers(0, 10**9))
def test_a_chunk_message_comes_back_from_its_bytes(chunk: int) -> None:
    message = ProcessChunk(job_id=JOB_ID, chunk=chunk)

    assert ProcessChunk.model_validate_json(message.encode()) == message


@pytest.mark.parametrize("message", [JobCommand(job_id=JOB_ID), SweepJobs(job_id=JOB_ID), SweepJobs()])
def test_the_other_messages_come_back_from_their_bytes(message: JobCommand | SweepJobs) -> None:
    assert type(message).model_validate_json(message.encode()) == message


def test_a_message_names_its_version_and_carries_ids_only() -> None:
    assert json.loads(ProcessChunk(job_id=JOB_ID, chunk=3).encode()) == {"v": 1, "job_id": JOB_ID, "chunk": 3}


def test_unknown_fields_of_a_newer_sender_are_ignored() -> None:
    text = json.dumps({"v": 1, "job_id": JOB_ID, "chunk": 3, "trace": {"x": 1}})

    assert ProcessChunk.model_validate_json(text) == ProcessChunk(job_id=JOB_ID, chunk=3)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"job_id": JOB_ID},
        {"job_id": None, "chunk": 0},
        {"job_id": JOB_ID, "chunk": -1},
        {"job_id": JOB_ID, "chunk": None},
        {"job_id": JOB_ID, "chunk": "first"},
        {"v": 2, "job_id": JOB_ID, "chunk": 0},
        *({"job_id": job_id, "chunk": 0} for job_id in NOT_JOB_IDS),
    ],
)
def test_a_message_that_is_not_one_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProcessChunk.model_validate_json(json.dumps(fields))


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b"\xff", b'"x"'])
def test_bytes_that_are_no_message_are_refused(text: bytes) -> None:
    with pytest.raises(ValidationError):
        JobCommand.model_validate_json(text)


@pytest.mark.parametrize("text", NOT_JOB_IDS)
def test_only_the_exact_form_is_a_job_id(text: str) -> None:
    assert is_job_id(JOB_ID)
    assert not is_job_id(text)


@given(st.integers(0, 2**128 - 1), st.sampled_from([RANDOM, DERIVED]))
def test_make_job_id_returns_a_uuid_of_its_version(bits: int, version: int) -> None:
    job_id = make_job_id(bits, version)

    made = UUID(job_id)
    assert is_job_id(job_id)
    assert (str(made), made.variant, made.version) == (job_id, RFC_4122, version)
    assert (made.int ^ bits) & ~(0xF << 76 | 0b11 << 62) == 0  # the other 122 bits are kept


def test_the_name_of_an_upload_leads_back_to_its_job() -> None:
    assert uploaded_job(upload_object(JOB_ID)) == JobUploaded(job_id=JOB_ID)


@pytest.mark.parametrize("name", FOREIGN_UPLOADS)
def test_a_foreign_object_is_no_upload(name: str) -> None:
    assert uploaded_job(name) is None


@given(st.text())
def test_any_other_name_is_no_upload(name: str) -> None:
    assert uploaded_job(name) is None
