"""Opens a job: judges the order, keeps it, and hands out the upload URL."""

import asyncio
import hashlib
import hmac
from contextlib import suppress
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from promptforge import logs
from promptforge.domain.job import Job
from promptforge.domain.messages import DERIVED, RANDOM, JobMessage, make_job_id, upload_object
from promptforge.domain.moment import DAY_SECONDS, Rfc3339, rfc3339
from promptforge.domain.money import nanos
from promptforge.domain.params import Params, unsupported, whole
from promptforge.errors import ApiError, Conflict, Unavailable
from promptforge.service.allowances import promised
from promptforge.service.app import App
from promptforge.service.schema import schema_fault
from promptforge.settings import PROVIDER_KEYS

UPLOAD_GRACE_SECONDS = 3600.0  # a large upload that began in time may take so long before the job is given up
TOO_MANY_SECONDS = 30
MAX_TRIES = 40
AWAIT_SECONDS = 300.0  # how often the sweeper looks for an upload whose event was lost

IDEMPOTENCY_KEY = TypeAdapter(Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]+$")])
"""What an Idempotency-Key may be: visible ASCII, so that one sent twice, joined by a comma and a space, is none."""


def _not_given(value: object) -> bool:
    return value is None


class Order(Params):
    """The body of POST /v1/jobs/init: what to ask whom, and parameters for every prompt. A job is stopped once it has
    cost `max_cost_usd`, as far as the provider tells; each process that works on it may exceed that by about a call."""

    provider: str = Field(max_length=50, json_schema_extra={"enum": [*sorted(PROVIDER_KEYS)]})
    model: str = Field(min_length=1, max_length=200)
    max_retries: Annotated[int, Field(ge=0, le=10), BeforeValidator(whole)] = 3
    max_cost_usd: Annotated[float, Field(ge=0.01, le=1_000_000)] | None = Field(None, exclude_if=_not_given)


class Ticket(BaseModel):
    """The answer to POST /v1/jobs/init: what the client needs to upload."""

    job_id: str
    upload_url: str
    expires_at: Rfc3339


async def open_job(app: App, client: str, order: Order, idempotency_key: str | None) -> Ticket:
    """Create the job, or find the one that the same client made with the same Idempotency-Key.

    A repeated order is answered alike also when the job is past its upload; the upload URL is of no use then.
    Raises ApiError 400 for what is no Idempotency-Key, 409 for one whose job is deleted, 422 for a provider that is
    unknown or has no key here, a parameter that it cannot take, a limit for a model without a price, or an
    Idempotency-Key used with another order, 429 for one job too many, or when the day's allowance is spent.
    """
    _check_idempotency_key(idempotency_key)
    _check_provider(app, order.provider)
    _check_params(order)
    _check_price(app, order)
    new = _new_job(app, client, order, idempotency_key)
    job = await app.ledger.job(new.job_id) if idempotency_key else None
    if job is None:
        job = await _create(app, new)
    if job is None or job.client != client or job.forgotten(app.clock.now()):
        raise ApiError(409, "job_deleted", "The job of this Idempotency-Key is deleted: send another key.")
    if job.request_digest != _digest(order):
        raise ApiError(422, "idempotency_key_reused", "This Idempotency-Key was used with another request body.")
    message, too_late = JobMessage(job_id=job.job_id), job.upload_expires_at + UPLOAD_GRACE_SECONDS
    await app.tasks.enqueue("sweeper", message.encode(), name=f"expire-{job.job_id}", not_before=too_late)
    url = await app.uploads.upload_url(upload_object(job.job_id), job.upload_expires_at)
    logs.info("job_opened", job_id=job.job_id, provider=job.provider)
    return Ticket(job_id=job.job_id, upload_url=url, expires_at=rfc3339(job.upload_expires_at))


def _check_idempotency_key(idempotency_key: str | None) -> None:
    try:
        if idempotency_key is not None:
            IDEMPOTENCY_KEY.validate_python(idempotency_key)
    except ValidationError:
        detail = "Send one Idempotency-Key of 1 to 255 visible ASCII characters, without spaces."
        raise ApiError(400, "invalid_idempotency_key", detail) from None


def _check_provider(app: App, provider: str) -> None:
    if provider not in PROVIDER_KEYS:
        known = ", ".join(sorted(PROVIDER_KEYS))
        raise ApiError(422, "unsupported_provider", f"provider must be one of: {known}.")
    if variable := app.settings.missing_key(provider):
        detail = f"The provider {provider} has no key here: the operator must set {variable}."
        raise ApiError(422, "provider_not_configured", detail)


def _check_params(order: Order) -> None:
    if name := unsupported(order.provider, order):
        raise ApiError(422, "unsupported_parameter", f"{order.provider} has no parameter {name}: leave it out.")
    if fault := schema_fault(order.response_format):
        raise ApiError(422, "invalid_field", f"response_format.schema: {fault}.")


def _check_price(app: App, order: Order) -> None:
    if order.max_cost_usd is not None and app.settings.price_of(order.provider, order.model) is None:
        detail = "The operator has set no price for this model, so max_cost_usd cannot be kept: leave it out."
        raise ApiError(422, "price_unknown", detail)


async def _create(app: App, job: Job) -> Job | None:
    """Store the job within what its client may have and spend, which another order may change meanwhile. That may have
    been the same one, and its job may be deleted: then this one is not one more."""
    try:
        open_jobs = await _count_open_jobs(app, job.client)
        for _ in range(MAX_TRIES):
            within, also = await promised(app.documents, job, open_jobs)
            with suppress(Conflict):
                return await app.ledger.create_job(within, also)
            await asyncio.sleep(app.rng.uniform(0, 0.05))
    except ApiError:
        if await app.ledger.taken(job.job_id):
            return await app.ledger.job(job.job_id)
        raise
    raise Unavailable(job.job_id)


async def _count_open_jobs(app: App, client: str) -> int:
    """Raises ApiError 429 when there are too many. Orders that come at the same moment do not see each other: a few
    too many may get through."""
    most, count = app.settings.max_open_jobs, await app.ledger.count_open_jobs(client)
    if count >= most:
        detail = f"You have {most} jobs that have not ended; wait for one, or cancel or delete one."
        raise ApiError(429, "too_many_jobs", detail, retry_after=TOO_MANY_SECONDS)
    return count


def _new_job(app: App, client: str, order: Order, idempotency_key: str | None) -> Job:
    now = app.clock.now()
    expires_at = float(int(now + app.settings.upload_url_seconds))
    return Job(
        job_id=_idempotent_id(app, client, idempotency_key) if idempotency_key else _random_id(app),
        client=client,
        created_at=now,
        upload_expires_at=expires_at,
        due_at=now + AWAIT_SECONDS,
        deadline_at=now + app.settings.job_seconds,
        expire_at=float(int(now + app.settings.job_seconds) + app.settings.retention_days * DAY_SECONDS),
        request_digest=_digest(order),
        provider=order.provider,
        model=order.model,
        max_retries=order.max_retries,
        params=Params(**order.given),
        price=app.settings.price_of(order.provider, order.model),
        max_cost_nanos=None if order.max_cost_usd is None else nanos(order.max_cost_usd),
    )


def _random_id(app: App) -> str:
    return make_job_id(app.rng.getrandbits(128), RANDOM)


def _idempotent_id(app: App, client: str, idempotency_key: str) -> str:
    """The same for the same client and key, for no other two, and not to be guessed without the pepper."""
    text = ":".join(map(quote, ("job", client, idempotency_key)))
    digest = hmac.new(app.pepper, text.encode(), hashlib.sha256).digest()
    return make_job_id(int.from_bytes(digest[:16]), DERIVED)


def _digest(order: Order) -> str:
    """The same for the same order, also after an upgrade: a field that is new in Order is left out if not given."""
    return hashlib.sha256(order.model_dump_json().encode()).hexdigest()
