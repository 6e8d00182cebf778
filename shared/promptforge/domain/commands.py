"""What travels between the functions: ids, never data. Each message names its schema version."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_JOB_ID = re.compile(r"job_[0-9a-f]{32}")
UPLOAD_NAME = "input.jsonl"
TASK_EVENT_TYPE = "promptforge.task"


JobId = Annotated[str, Field(pattern=r"^job_[0-9a-f]{32}$")]


class Command(BaseModel):
    """Common to all: unknown fields are ignored, so that a newer sender can talk to an older receiver."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    v: Literal[1] = 1
    job_id: JobId | None

    def encode(self) -> bytes:
        """The message as JSON."""
        return self.model_dump_json().encode()


class JobCommand(Command):
    """Split this job, or finish or erase it."""

    job_id: JobId


class JobUploaded(JobCommand):
    """This job's input is there."""


class ProcessChunk(Command):
    """Work on this chunk."""

    job_id: JobId
    chunk: int = Field(ge=0)


class SweepJobs(Command):
    """Check on this job, or on all that are due."""

    job_id: JobId | None = None


def upload_object(job_id: str) -> str:
    """The name a job's input has in the uploads bucket."""
    return f"{job_id}/{UPLOAD_NAME}"


def uploaded_job(name: str) -> JobUploaded | None:
    """What an object of the uploads bucket says, or None for a foreign object."""
    job_id, _, rest = name.partition("/")
    return JobUploaded(job_id=job_id) if rest == UPLOAD_NAME and is_job_id(job_id) else None


def is_job_id(text: str) -> bool:
    """Whether a text has the form of a job id; anything else is no name to look up."""
    return _JOB_ID.fullmatch(text) is not None


def task_headers(queue: str, task_id: str) -> dict[str, str]:
    """What makes a task's request a CloudEvent in binary mode, so that tasks knock at the same door as events."""
    return {
        "ce-specversion": "1.0",
        "ce-id": task_id,
        "ce-type": TASK_EVENT_TYPE,
        "ce-source": f"//promptforge/queues/{queue}",
        "content-type": "application/json",
    }
