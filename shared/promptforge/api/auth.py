"""Authentication: the client of an API key, and jobs that belong to that client."""

import math

from promptforge.context import AppContext
from promptforge.domain.api_keys import is_mistyped
from promptforge.domain.job import Job
from promptforge.domain.job_id import is_job_id
from promptforge.errors import RequestError

MAX_KEY_LENGTH = 512


async def authenticate(context: AppContext, key: str | None) -> str:
    """Return the client of an API key.

    Raises RequestError `invalid_api_key`, in the same words for every kind of invalid key. A key that sends requests
    too fast gets `rate_limited`, before anything is looked up.
    """
    invalid = RequestError("invalid_api_key", "Send a valid API key in the X-API-Key header.")
    if not key or len(key) > MAX_KEY_LENGTH or is_mistyped(key):
        raise invalid
    hashed = context.api_keys.hash(key)
    if wait := context.request_limits.take(hashed):
        raise RequestError("rate_limited", "This key sends requests too fast.", retry_after=math.ceil(wait))
    client = await context.api_keys.find_client(hashed)
    if client is None:
        raise invalid
    return client


async def get_owned_job(context: AppContext, client: str, job_id: str) -> Job:
    """Return the client's job.

    Raises RequestError `job_not_found`, the same for a job that is unknown, expired or another client's.
    """
    job = await context.jobs.get(job_id) if is_job_id(job_id) else None
    if job is None or job.client != client or job.expired(context.clock.now()):
        raise RequestError("job_not_found", "Job not found.")
    return job
