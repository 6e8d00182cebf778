"""Creates a job: validates the request, stores the job and signs the upload URL."""

import hashlib
import hmac
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.formats.json_schema import schema_error
from promptforge.domain.formats.params import PARAMS, Params, integral, unsupported_parameter
from promptforge.domain.job import Job, JobParams
from promptforge.domain.job_id import UUID_CUSTOM, UUID_RANDOM, make_job_id
from promptforge.domain.limits.pricing import usd_to_nanos
from promptforge.domain.providers import PROVIDERS
from promptforge.domain.timeouts import TOO_MANY_JOBS_RETRY_SECONDS, UPLOAD_CHECK_SECONDS, UPLOAD_GRACE_SECONDS
from promptforge.domain.timestamps import DAY_SECONDS, Rfc3339, rfc3339
from promptforge.errors import RequestError
from promptforge.state.commit import retry_on_conflict
from promptforge.state.objects import upload_object

IDEMPOTENCY_KEY = TypeAdapter(Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]+$")])
"""An Idempotency-Key: visible ASCII. A key that is sent twice is joined by a comma and a space, and so is invalid."""


def _not_set(value: object) -> bool:
    return value is None


class CreateJobRequest(Params):
    """The body of POST /v1/jobs/init: provider, model, and parameters for every prompt.

    A job is stopped once it has cost `max_cost_usd`, as reported by the provider. Each process
    that works on it may exceed that by about a call.
    """

    provider: str = Field(max_length=50, json_schema_extra={"enum": [*sorted(PROVIDERS)]})
    model: str = Field(min_length=1, max_length=200)
    max_retries: Annotated[int, Field(ge=0, le=10), BeforeValidator(integral)] = 3
    max_cost_usd: Annotated[float, Field(ge=0.01, le=1_000_000)] | None = Field(None, exclude_if=_not_set)


class CreateJobResponse(BaseModel):
    """The answer to POST /v1/jobs/init."""

    job_id: str
    upload_url: str
    expires_at: Rfc3339


async def create_job(
    context: AppContext, client: str, request: CreateJobRequest, idempotency_key: str | None
) -> CreateJobResponse:
    """Create the job, or return the one that the same client created with the same Idempotency-Key.

    A repeated request gets the same answer also after the upload; the upload URL is of no use then. Raises RequestError
    with one of these codes: `invalid_idempotency_key`, `idempotency_key_reused`, `job_deleted`, `unsupported_provider`,
    `provider_not_configured`, `unsupported_parameter`, `invalid_field`, `price_unknown`, `too_many_jobs`,
    `spend_limit`.
    """
    _check_idempotency_key(idempotency_key)
    _check_provider(context, request.provider)
    _check_params(request)
    _check_price(context, request)
    new = _new_job(context, client, request, idempotency_key)
    job = await context.jobs.get(new.job_id) if idempotency_key else None
    if job is None:
        job = await _store(context, new)
    if job is None or job.client != client or job.expired(context.clock.now()):
        raise RequestError("job_deleted", "The job for this Idempotency-Key was deleted. Use a new key.")
    if job.request_digest != _digest(request):
        detail = "This Idempotency-Key was used with another request body. Use a new key."
        raise RequestError("idempotency_key_reused", detail)
    await context.queues.schedule_upload_check(job.job_id, job.upload_expires_at + UPLOAD_GRACE_SECONDS)
    url = await context.uploads.upload_url(upload_object(job.job_id), job.upload_expires_at)
    logs.info("job_created", job_id=job.job_id, provider=job.provider)
    return CreateJobResponse(job_id=job.job_id, upload_url=url, expires_at=rfc3339(job.upload_expires_at))


def _check_idempotency_key(idempotency_key: str | None) -> None:
    try:
        if idempotency_key is not None:
            IDEMPOTENCY_KEY.validate_python(idempotency_key)
    except ValidationError:
        detail = "Send one Idempotency-Key of 1 to 255 visible ASCII characters, without spaces."
        raise RequestError("invalid_idempotency_key", detail) from None


def _check_provider(context: AppContext, provider: str) -> None:
    if provider not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise RequestError("unsupported_provider", f"provider must be one of: {known}.")
    if variable := context.settings.missing_key(provider):
        detail = f"Provider {provider} has no key on this server: the operator must set {variable}."
        raise RequestError("provider_not_configured", detail)


def _check_params(request: CreateJobRequest) -> None:
    if name := unsupported_parameter(request.provider, request):
        detail = f"Parameter {name} is not supported by {request.provider}."
        raise RequestError("unsupported_parameter", detail)
    if error := schema_error(request.response_format):
        raise RequestError("invalid_field", f"response_format.schema: {error}.")


def _check_price(context: AppContext, request: CreateJobRequest) -> None:
    if request.max_cost_usd is not None and context.settings.price_of(request.provider, request.model) is None:
        detail = f"max_cost_usd requires a configured price for model {request.model}."
        raise RequestError("price_unknown", detail)


async def _store(context: AppContext, job: Job) -> Job | None:
    """Store the job within the client's limits, which a concurrent request may change.

    A refused request may be a repeated one whose job exists, or existed: then it is not one more job.
    """
    try:
        active_jobs = await _count_active_jobs(context, job.client)

        async def attempt() -> Job | None:
            limited, writes = await context.quotas.reserve(job, active_jobs)
            return await context.jobs.create(limited, writes)

        return await retry_on_conflict(context.rng, attempt)
    except RequestError:
        if await context.jobs.exists(job.job_id):
            return await context.jobs.get(job.job_id)
        raise


async def _count_active_jobs(context: AppContext, client: str) -> int:
    """Raises RequestError `too_many_jobs` at the limit.

    Concurrent requests do not see each other: a few may pass.
    """
    limit, count = context.settings.max_active_jobs, await context.jobs.count_active(client)
    if count >= limit:
        detail = f"You have {limit} active jobs, which is the limit; wait for one, or cancel or delete one."
        raise RequestError("too_many_jobs", detail, retry_after=TOO_MANY_JOBS_RETRY_SECONDS)
    return count


def _new_job(context: AppContext, client: str, request: CreateJobRequest, idempotency_key: str | None) -> Job:
    settings, now = context.settings, context.clock.now()
    return Job(
        job_id=_idempotent_id(context, client, idempotency_key) if idempotency_key else _random_id(context),
        client=client,
        created_at=now,
        upload_expires_at=float(int(now + settings.upload_url_seconds)),
        due_at=now + UPLOAD_CHECK_SECONDS,
        deadline_at=now + settings.job_seconds,
        expire_at=float(int(now + settings.job_seconds) + settings.retention_days * DAY_SECONDS),
        request_digest=_digest(request),
        provider=request.provider,
        model=request.model,
        max_retries=request.max_retries,
        params=JobParams.model_validate(request.model_dump(include=set(PARAMS), exclude_none=True)),
        price=settings.price_of(request.provider, request.model),
        max_cost_nanos=None if request.max_cost_usd is None else usd_to_nanos(request.max_cost_usd),
    )


def _random_id(context: AppContext) -> str:
    return make_job_id(context.rng.getrandbits(128), UUID_RANDOM)


def _idempotent_id(context: AppContext, client: str, idempotency_key: str) -> str:
    """Return the same id for the same client and key, another for any other two.

    It cannot be guessed without the pepper.
    """
    text = ":".join(map(quote, ("job", client, idempotency_key)))
    digest = hmac.new(context.pepper, text.encode(), hashlib.sha256).digest()
    return make_job_id(int.from_bytes(digest[:16]), UUID_CUSTOM)


def _digest(request: CreateJobRequest) -> str:
    """Return the same digest for the same request, also after an upgrade: a new field is left out while not set."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()
