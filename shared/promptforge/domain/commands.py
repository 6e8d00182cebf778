"""The commands that functions send to each other: ids, never data.

Each names its schema version.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from promptforge.domain.job_id import JobId

TASK_EVENT_TYPE = "promptforge.task"


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
