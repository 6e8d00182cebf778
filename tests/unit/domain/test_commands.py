"""The commands between functions: encoded and decoded, with ids in their exact form."""

import json
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from promptforge.domain.commands import DERIVED, RANDOM, JobCommand, ProcessChunk, SweepJobs, is_job_id, make_job_id

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


@given(st.integers(0, 10**9))
def test_process_chunk_command_equals_its_decoded_bytes(chunk: int) -> None:
    command = ProcessChunk(job_id=JOB_ID, chunk=chunk)

    assert ProcessChunk.model_validate_json(command.encode()) == command


@pytest.mark.parametrize("command", [JobCommand(job_id=JOB_ID), SweepJobs(job_id=JOB_ID), SweepJobs()])
def test_command_equals_its_decoded_bytes(command: JobCommand | SweepJobs) -> None:
    assert type(command).model_validate_json(command.encode()) == command


def test_command_has_its_version_and_ids_only() -> None:
    assert json.loads(ProcessChunk(job_id=JOB_ID, chunk=3).encode()) == {"v": 1, "job_id": JOB_ID, "chunk": 3}


def test_command_with_unknown_fields_is_decoded() -> None:
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
def test_command_with_invalid_fields_is_rejected(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProcessChunk.model_validate_json(json.dumps(fields))


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b"\xff", b'"x"'])
def test_command_from_other_bytes_is_rejected(text: bytes) -> None:
    with pytest.raises(ValidationError):
        JobCommand.model_validate_json(text)


@pytest.mark.parametrize("text", NOT_JOB_IDS)
def test_is_job_id_accepts_only_the_exact_form(text: str) -> None:
    assert is_job_id(JOB_ID)
    assert not is_job_id(text)


@given(st.integers(0, 2**128 - 1), st.sampled_from([RANDOM, DERIVED]))
def test_make_job_id_returns_a_uuid_of_its_version(bits: int, version: int) -> None:
    job_id = make_job_id(bits, version)

    made = UUID(job_id)
    assert is_job_id(job_id)
    assert (str(made), made.variant, made.version) == (job_id, RFC_4122, version)
    assert (made.int ^ bits) & ~(0xF << 76 | 0b11 << 62) == 0  # the other 122 bits are kept
