"""The commands between functions: encoded and decoded, with ids in their exact form."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from promptforge.domain.commands import JobCommand, ProcessChunk, SweepJobs
from tests.harness.job_ids import JOB_ID, NOT_JOB_IDS


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
