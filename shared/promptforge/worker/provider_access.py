"""Why a process cannot call the provider of a job at all."""

from promptforge.domain.job import Job, JobError
from promptforge.settings import PROVIDER_URLS, Settings


def access_error(settings: Settings, job: Job) -> JobError | None:
    """Return why no call of the job may start in a process with these settings, or None.

    The operator can correct the settings while the job waits.
    """
    if variable := settings.missing_key(job.provider):
        return JobError(code="provider_key_missing", message=f"A worker has no {variable}; set it.")
    address = settings.provider_address(job.provider)
    if job.provider_url is None or address == job.provider_url:
        return None
    variable, _ = PROVIDER_URLS[job.provider]
    message = (
        f"The job was created for {job.provider} at {job.provider_url}, and the address of this worker is {address}."
        f" Set {variable} to the address of the job, or cancel it."
    )
    return JobError(code="provider_address_changed", message=message)
