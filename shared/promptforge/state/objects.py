"""The names of objects in the three buckets, and the removal of a job's objects."""

import asyncio

from promptforge.domain.commands import JobUploaded
from promptforge.domain.job_id import is_job_id
from promptforge.ports.objects import Objects

UPLOAD_FILENAME = "input.jsonl"
CONCURRENT_DELETES = 16


def upload_object(job_id: str) -> str:
    """Return the name of a job's input in the uploads bucket."""
    return f"{job_id}/{UPLOAD_FILENAME}"


def uploaded_job(name: str) -> JobUploaded | None:
    """Return the command that an object of the uploads bucket stands for, or None for an unknown object."""
    job_id, _, filename = name.partition("/")
    return JobUploaded(job_id=job_id) if filename == UPLOAD_FILENAME and is_job_id(job_id) else None


def segment_object(job_id: str, chunk: int, epoch: int, index: int) -> str:
    """Return the name of a flushed segment in the work bucket."""
    return f"{job_id}/{chunk:08d}/{epoch:06d}-{index:06d}"


def chunk_part_object(job_id: str, chunk: int, epoch: int, kind: str) -> str:
    """Return the name of a chunk's results or errors.

    Parts are in the results bucket: compose works in one bucket.
    """
    return f"{_parts_prefix(job_id)}{chunk:08d}-{epoch:06d}.{kind}"


def result_object(job_id: str, filename: str) -> str:
    """Return the name of a published file in the results bucket."""
    return f"{job_id}/{filename}"


def compose_step_object(job_id: str, filename: str, level: int, first: int) -> str:
    """Return the name of an intermediate object of a published file."""
    return f"{_parts_prefix(job_id)}{filename}.{level}.{first:08d}"


async def delete_intermediate_objects(work: Objects, results: Objects, job_id: str) -> None:
    """Delete what a finished job no longer needs: segments, chunk parts and compose steps."""
    await delete_prefix(work, f"{job_id}/")
    await delete_prefix(results, _parts_prefix(job_id))


async def delete_job_objects(bucket: Objects, job_id: str) -> None:
    """Delete every object of a job in one bucket."""
    await delete_prefix(bucket, f"{job_id}/")


async def delete_prefix(bucket: Objects, prefix: str) -> None:
    """Delete every object whose name begins with `prefix`."""
    names: list[str] = []
    async for name in bucket.list(prefix):
        names.append(name)
        if len(names) == CONCURRENT_DELETES:
            await asyncio.gather(*map(bucket.delete, names))
            names.clear()
    await asyncio.gather(*map(bucket.delete, names))


def _parts_prefix(job_id: str) -> str:
    return f"{job_id}/parts/"
