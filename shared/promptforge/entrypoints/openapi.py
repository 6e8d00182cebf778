"""The API as an OpenAPI 3.1 document, made of the models that the functions read and answer with.

A new call is one entry in OPERATIONS; what follows from its path and body is derived.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from promptforge.api.create_job import IDEMPOTENCY_KEY, CreateJobRequest, CreateJobResponse
from promptforge.api.job_status import JobResultsResponse, JobStatusResponse
from promptforge.domain.commands import JobId
from promptforge.entrypoints.responses import HealthResponse, ProblemDetails

Json = dict[str, Any]
Codes = Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. `name` is its operationId, `codes` the problems it answers besides those that COMMON derives."""

    method: str
    path: str
    name: str
    summary: str
    status: int
    reply: type[BaseModel] | None
    body: type[BaseModel] | None = None
    parameters: tuple[Json, ...] = ()
    codes: Codes = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether it needs no key."""
        return not self.path.startswith("/v1/")

    @property
    def of_job(self) -> bool:
        """Whether it is about one job."""
        return "{job_id}" in self.path


IDEMPOTENCY_HEADER: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same order gives the same job, however often it is sent.",
    "schema": IDEMPOTENCY_KEY.json_schema(),
}
JOB_ID: Json = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "As init answered it.",
    "schema": TypeAdapter(JobId).json_schema(),
}

OPERATIONS = (
    Operation(
        "post",
        "/v1/jobs/init",
        "init",
        "Open a job and get the URL to upload its prompts to",
        202,
        CreateJobResponse,
        body=CreateJobRequest,
        parameters=(IDEMPOTENCY_HEADER,),
        codes={
            400: ("invalid_idempotency_key",),
            409: ("job_deleted",),
            422: (
                "unsupported_provider",
                "unsupported_parameter",
                "provider_not_configured",
                "idempotency_key_reused",
                "price_unknown",
            ),
            429: ("too_many_jobs", "spend_limit"),
        },
    ),
    Operation("get", "/v1/jobs/{job_id}/status", "status", "How a job stands", 200, JobStatusResponse),
    Operation(
        "get",
        "/v1/jobs/{job_id}/results",
        "results",
        "The URLs of a job's results",
        200,
        JobResultsResponse,
        codes={409: ("not_finished", "no_results")},
    ),
    Operation(
        "post",
        "/v1/jobs/{job_id}/cancel",
        "cancel",
        "Have no further call made for a job",
        200,
        JobStatusResponse,
        codes={409: ("already_ended",)},
    ),
    Operation("delete", "/v1/jobs/{job_id}", "delete", "Erase a job and everything of it", 204, None),
    Operation("get", "/healthz", "health", "Whether the API is there", 200, HealthResponse),
    Operation(
        "get",
        "/health",
        "healthInTheCloud",
        "The same where /healthz is reserved, as on Cloud Run",
        200,
        HealthResponse,
    ),
    Operation("get", "/openapi.json", "openapi", "This document", 200, None),
)

KEYED: Codes = {
    401: ("invalid_api_key",),
    429: ("rate_limited",),
    500: ("internal_error",),
    503: ("unavailable",),
}
WITH_BODY: Codes = {400: ("malformed_json",), 413: ("body_too_large",), 422: ("invalid_field",)}
OF_JOB: Codes = {404: ("job_not_found", "not_found")}

MEANING = {
    400: "The request is malformed.",
    401: "The API key is missing or not valid.",
    404: "There is no such job, or it is another client's.",
    409: "The job is in a state that does not allow this.",
    413: "The body is too large.",
    422: "A field is wrong, or asks for what is not offered here.",
    429: "Too much at once: try again later.",
    500: "A fault of our own.",
    503: "Try again in a moment.",
}

ABOUT = """\
Give it a file of prompts; get every answer back, in order, exactly once.

1. `POST /v1/jobs/init` answers with `upload_url`.
2. `PUT` the JSONL file to that URL, with `Content-Type: application/octet-stream` and without a key. 200 says that it
   is kept; the work starts by itself. The URL takes one file, until `expires_at`.
3. `GET /v1/jobs/{job_id}/status` until `status` is COMPLETED, FAILED or CANCELLED.
4. `GET /v1/jobs/{job_id}/results` answers with a URL for each file. `GET` it without a key, until `expires_at`; a Range
   header gets a part of it.

`DELETE /v1/jobs/{job_id}` erases a job at any time: its input, its results and every trace of it. No further call is
made for it, and from then on it is answered 404 like a job that never was.

Every error of this API is `application/problem+json`: `code` is a stable word for programs, `detail` a sentence for
people. A method that a path does not know is answered 405 with `Allow`; HEAD is known wherever GET is.
New fields and new paths may be added; what is here stays.
"""


@cache
def document() -> Json:
    """The whole document. It is the same for every caller: do not change it."""
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    key = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "PromptForge", "version": "1", "description": ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": {"ApiKey": key}},
    }


def _schemas() -> Json:
    """Every model that an operation names, and those they are made of."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDetails, "serialization")]
    models += [(operation.body, "validation") for operation in OPERATIONS if operation.body]
    models += [(operation.reply, "serialization") for operation in OPERATIONS if operation.reply]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")
    definitions: Json = schemas["$defs"]
    return definitions


def _operation(operation: Operation) -> Json:
    parameters = [*([JOB_ID] if operation.of_job else []), *operation.parameters]
    body = {"required": True, "content": _content(operation.body)} if operation.body else None
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        **({"security": []} if operation.open else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": body} if body else {}),
        "responses": {
            str(operation.status): _good(operation),
            **{str(status): _problem(status, codes) for status, codes in sorted(_codes(operation).items())},
        },
    }


def _codes(operation: Operation) -> Codes:
    """Every problem that the operation can answer: its own, and what follows from what it is."""
    derived = [operation.codes]
    derived += [] if operation.open else [KEYED]
    derived += [WITH_BODY] if operation.body else []
    derived += [OF_JOB] if operation.of_job else []
    return {
        status: tuple(code for codes in derived for code in codes.get(status, ())) for status in set().union(*derived)
    }


def _good(operation: Operation) -> Json:
    links = dict(_links()) if operation.reply is CreateJobResponse else {}
    response: Json = {"description": operation.summary}
    if operation.status != 204:
        response["content"] = _content(operation.reply)
    return {**response, **({"links": links} if links else {})}


def _links() -> Iterator[tuple[str, Json]]:
    for operation in OPERATIONS:
        if operation.of_job:
            yield operation.name, {"operationId": operation.name, "parameters": {"job_id": "$response.body#/job_id"}}


def _problem(status: int, codes: tuple[str, ...]) -> Json:
    said = {"status": {"const": status}, "code": {"enum": [*codes]}}
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}", "properties": said}
    retry = {"Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}}}
    response: Json = {"description": MEANING[status], "content": {"application/problem+json": {"schema": schema}}}
    return {**response, **({"headers": retry} if status in (429, 503) else {})}


def _content(model: type[BaseModel] | None) -> Json:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"} if model else {"type": "object"}
    return {"application/json": {"schema": schema}}
