"""Every route of the public API, one row each.

The OpenAPI document, the engine's HTTP app, the cloud gateway and the tests are built from this table. Functions do not
import it at their start, because it imports the models of every route.
"""

from dataclasses import dataclass

from pydantic import BaseModel

from promptforge.api.create_job import CreateJobRequest, CreateJobResponse
from promptforge.api.job_results import JobResultsResponse
from promptforge.api.job_status import JobStatusResponse
from promptforge.entrypoints.responses import HealthResponse

PRIVATE_ERRORS = ("invalid_api_key", "rate_limited", "internal_error", "unavailable")
BODY_ERRORS = ("malformed_json", "body_too_large", "invalid_field")
JOB_ERRORS = ("job_not_found", "not_found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method of a path, and the function that serves it.

    `name` is the operationId in the OpenAPI document. `own_errors` are the error codes that do not follow from the
    other columns. A public route requires no API key.
    """

    method: str
    path: str
    function: str
    name: str
    summary: str
    status: int = 200
    response: type[BaseModel] | None = None
    request: type[BaseModel] | None = None
    idempotency_key: bool = False
    own_errors: tuple[str, ...] = ()
    public: bool = False

    @property
    def has_job_id(self) -> bool:
        """Whether the path names a job."""
        return "{job_id}" in self.path

    @property
    def errors(self) -> tuple[str, ...]:
        """Every error code that the route can return."""
        private = () if self.public else PRIVATE_ERRORS
        body = BODY_ERRORS if self.request else ()
        job = JOB_ERRORS if self.has_job_id else ()
        return (*self.own_errors, *private, *body, *job)


ROUTES = (
    Route(
        method="POST",
        path="/v1/jobs/init",
        function="init",
        name="init",
        summary="Create a job and return the URL for its upload",
        status=202,
        response=CreateJobResponse,
        request=CreateJobRequest,
        idempotency_key=True,
        own_errors=(
            "invalid_idempotency_key",
            "job_deleted",
            "unsupported_provider",
            "unsupported_parameter",
            "provider_not_configured",
            "idempotency_key_reused",
            "price_unknown",
            "too_many_jobs",
            "spend_limit",
        ),
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/status",
        function="status",
        name="status",
        summary="Return a job's status and progress",
        response=JobStatusResponse,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/results",
        function="results",
        name="results",
        summary="Return the download URLs of a job's files",
        response=JobResultsResponse,
        own_errors=("not_finished", "no_results"),
    ),
    Route(
        method="POST",
        path="/v1/jobs/{job_id}/cancel",
        function="cancel",
        name="cancel",
        summary="Stop all further calls of a job",
        response=JobStatusResponse,
        own_errors=("already_ended",),
    ),
    Route(
        method="DELETE",
        path="/v1/jobs/{job_id}",
        function="delete",
        name="delete",
        summary="Delete a job, its input and its results",
        status=204,
    ),
    Route(
        method="GET",
        path="/healthz",
        function="init",
        name="health",
        summary="Return whether the API is available",
        response=HealthResponse,
        public=True,
    ),
    Route(
        method="GET",
        path="/health",
        function="init",
        name="healthInTheCloud",
        summary="The same as /healthz, for platforms such as Cloud Run that reserve /healthz",
        response=HealthResponse,
        public=True,
    ),
    Route(
        method="GET",
        path="/openapi.json",
        function="init",
        name="openapi",
        summary="Return this document",
        public=True,
    ),
)
