"""What travels between the functions: ids, never data. Each message names its schema version."""

import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_JOB_ID = re.compile(_UUID)
RANDOM, DERIVED = 4, 8  # versions of RFC 9562: random bits, and bits of the application's own choice
UPLOAD_NAME = "input.jsonl"
TASK = "promptforge.task"
JobId = Annotated[str, Field(pattern=f"^{_UUID}$")]


class Message(BaseModel):
    """Common to all: unknown fields are ignored, so that a newer sender can talk to an older receiver."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    v: Literal[1] = 1
    job_id: JobId | None

    def encode(self) -> bytes:
        """The message as JSON."""
        return self.model_dump_json().encode()


class JobMessage(Message):
    """Split this job, or finish or erase it."""

    job_id: JobId


class UploadMessage(JobMessage):
    """This job's input is there."""


class ChunkMessage(Message):
    """Work on this chunk."""

    job_id: JobId
    chunk: int = Field(ge=0)


class SweepMessage(Message):
    """Check on this job, or on all that are due."""

    job_id: JobId | None = None


def upload_object(job_id: str) -> str:
    """The name a job's input has in the uploads bucket."""
    return f"{job_id}/{UPLOAD_NAME}"


def upload_of(name: str) -> UploadMessage | None:
    """What an object of the uploads bucket says, or None for a foreign object."""
    job_id, _, rest = name.partition("/")
    return UploadMessage(job_id=job_id) if rest == UPLOAD_NAME and is_job_id(job_id) else None


def make_job_id(bits: int, version: int) -> str:
    """Return the UUID of 128 bits, of which 6 give way to its version and variant."""
    bits = bits & ~(0xF << 76) | version << 76
    bits = bits & ~(0b11 << 62) | 0b10 << 62  # by hand: UUID(version=8) needs Python 3.14
    return str(UUID(int=bits))


def is_job_id(text: str) -> bool:
    """Whether a text has the form of a job id; anything else is no name to look up."""
    return _JOB_ID.fullmatch(text) is not None


def task_headers(queue: str, task_id: str) -> dict[str, str]:
    """What makes a task's request a CloudEvent in binary mode, so that tasks knock at the same door as events."""
    return {
        "ce-specversion": "1.0",
        "ce-id": task_id,
        "ce-type": TASK,
        "ce-source": f"//promptforge/queues/{queue}",
        "content-type": "application/json",
    }
