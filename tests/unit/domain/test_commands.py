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
UNKNOWN_OBJECTS = [
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
def test_process_chunk_encode_round_trips(chunk: int) -> None:
    message = ProcessChunk(job_id=JOB_ID, chunk=chunk)

    assert ProcessChunk.model_validate_json(message.encode()) == message


@pytest.mark.parametrize("message", [JobCommand(job_id=JOB_ID), SweepJobs(job_id=JOB_ID), SweepJobs()])
def test_command_encode_round_trips(message: JobCommand | SweepJobs) -> None:
    assert type(message).model_validate_json(message.encode()) == message


def test_command_encode_contains_version_and_ids_only() -> None:
    assert json.loads(ProcessChunk(job_id=JOB_ID, chunk=3).encode()) == {"v": 1, "job_id": JOB_ID, "chunk": 3}


def test_command_unknown_fields_are_ignored() -> None:
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
def test_command_invalid_fields_are_rejected(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProcessChunk.model_validate_json(json.dumps(fields))


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b"\xff", b'"x"'])
def test_command_invalid_json_is_rejected(text: bytes) -> None:
    with pytest.raises(ValidationError):
        JobCommand.model_validate_json(text)


@pytest.mark.parametrize("text", NOT_JOB_IDS)
def test_is_job_id_accepts_the_exact_form_only(text: str) -> None:
    assert is_job_id(JOB_ID)
    assert not is_job_id(text)


@given(st.integers(0, 2**128 - 1), st.sampled_from([RANDOM, DERIVED]))
def test_make_job_id_returns_a_uuid_of_its_version(bits: int, version: int) -> None:
    job_id = make_job_id(bits, version)

    made = UUID(job_id)
    assert is_job_id(job_id)
    assert (str(made), made.variant, made.version) == (job_id, RFC_4122, version)
    assert (made.int ^ bits) & ~(0xF << 76 | 0b11 << 62) == 0  # the other 122 bits are kept


def test_uploaded_job_of_upload_object_returns_its_job() -> None:
    assert uploaded_job(upload_object(JOB_ID)) == JobUploaded(job_id=JOB_ID)


@pytest.mark.parametrize("name", UNKNOWN_OBJECTS)
def test_uploaded_job_unknown_object_returns_none(name: str) -> None:
    assert uploaded_job(name) is None


@given(st.text())
def test_uploaded_job_any_other_name_returns_none(name: str) -> None:
    assert uploaded_job(name) is None
