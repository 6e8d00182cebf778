"""The commands that functions send to each other: ids, never data.

Each names its schema version.
"""

import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_JOB_ID = re.compile(_UUID)
RANDOM, DERIVED = 4, 8
"""Versions of RFC 9562: random bits, and bits that the application chooses."""
TASK_EVENT_TYPE = "promptforge.task"


JobId = Annotated[str, Field(pattern=f"^{_UUID}$")]


class Command(BaseModel):
    """The base of all commands.

    Unknown fields are ignored, so that a newer sender can talk to an older receiver.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    v: Literal[1] = 1
    job_id: JobId | None

    def encode(self) -> bytes:
        """Return the command as JSON."""
        return self.model_dump_json().encode()


class JobCommand(Command):
    """A command about one job."""

    job_id: JobId


class JobUploaded(JobCommand):
    """The job's input was uploaded."""


class SplitJob(JobCommand):
    """Split the job's input into chunks."""


class FinalizeJob(JobCommand):
    """Publish the job's results and set its final status."""


class EraseJob(JobCommand):
    """Remove everything of a deleted or expired job."""


class ProcessChunk(Command):
    """Process one chunk."""

    job_id: JobId
    chunk: int = Field(ge=0)


class SweepJobs(Command):
    """Sweep one job, or all that are due."""

    job_id: JobId | None = None


def make_job_id(bits: int, version: int) -> str:
    """Return the UUID of 128 bits; 6 of them are replaced by its version and variant."""
    bits = bits & ~(0xF << 76) | version << 76
    bits = bits & ~(0b11 << 62) | 0b10 << 62  # by hand: UUID(version=8) requires Python 3.14
    return str(UUID(int=bits))


def is_job_id(text: str) -> bool:
    """Return whether a text has the form of a job id; anything else is never looked up."""
    return _JOB_ID.fullmatch(text) is not None


def task_headers(queue: str, task_id: str) -> dict[str, str]:
    """Return the headers that make a task's request a binary-mode CloudEvent.

    Tasks and events then share an endpoint.
    """
    return {
        "ce-specversion": "1.0",
        "ce-id": task_id,
        "ce-type": TASK_EVENT_TYPE,
        "ce-source": f"//promptforge/queues/{queue}",
        "content-type": "application/json",
    }
