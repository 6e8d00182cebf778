"""The API as an OpenAPI 3.1 document, built from the table of routes."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from promptforge.api.create_job import IDEMPOTENCY_KEY, CreateJobResponse
from promptforge.domain.job_id import JobId
from promptforge.entrypoints.responses import STATUS_BY_CODE, ProblemDetails
from promptforge.entrypoints.routes import ROUTES, Route

Json = dict[str, Any]

IDEMPOTENCY_HEADER: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repeated request with the same key and the same body returns the same job.",
    "schema": IDEMPOTENCY_KEY.json_schema(),
}
JOB_ID: Json = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "The job_id that init returned.",
    "schema": TypeAdapter(JobId).json_schema(),
}

STATUS_DESCRIPTIONS = {
    400: "The request is malformed.",
    401: "The API key is missing or invalid.",
    404: "The job does not exist or belongs to another client.",
    409: "The state of the job does not allow this request.",
    413: "The body is too large.",
    422: "A field is invalid or requests something that this service does not support.",
    429: "Rate or quota limit exceeded.",
    500: "Internal error.",
    503: "A dependency is temporarily unavailable.",
}

DESCRIPTION = """\
Upload a file of prompts, and get one result line per prompt, in input order.

1. `POST /v1/jobs/init` creates a job and returns `upload_url`.
2. `PUT` the JSONL file to that URL, with `Content-Type: application/octet-stream` and without an API key. A 200
   confirms that the file is stored, and processing starts. The URL accepts one file, until `expires_at`.
3. Poll `GET /v1/jobs/{job_id}/status` until `status` is COMPLETED, FAILED or CANCELLED.
4. `GET /v1/jobs/{job_id}/results` returns one URL per file. `GET` it without an API key, until `expires_at`. A Range
   header selects a part of the file.

`DELETE /v1/jobs/{job_id}` deletes a job at any time, with its input and its results. No further call is made for it,
and from then on every request for it returns 404.

Every error of this API is `application/problem+json`: `code` is stable and meant for programs, `detail` is for people.
A method that a path does not accept returns 405 with `Allow`. HEAD is accepted wherever GET is.
New fields and new paths may be added. Existing ones do not change.
"""


@cache
def document() -> Json:
    """Return the OpenAPI document.

    All callers share it, so they must not change it.
    """
    paths: Json = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    key = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "PromptForge", "version": "1", "description": DESCRIPTION, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": {"ApiKey": key}},
    }


def _schemas() -> Json:
    """Return the schemas of all models that routes name, and of the models in them."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDetails, "serialization")]
    models += [(route.request, "validation") for route in ROUTES if route.request]
    models += [(route.response, "serialization") for route in ROUTES if route.response]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")
    definitions: Json = schemas["$defs"]
    return definitions


def _operation(route: Route) -> Json:
    parameters = [*([JOB_ID] if route.has_job_id else []), *([IDEMPOTENCY_HEADER] if route.idempotency_key else [])]
    body = {"required": True, "content": _content(route.request)} if route.request else None
    return {
        "operationId": route.name,
        "summary": route.summary,
        **({"security": []} if route.public else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": body} if body else {}),
        "responses": {str(route.status): _success(route), **_errors(route)},
    }


def _success(route: Route) -> Json:
    links = dict(_links()) if route.response is CreateJobResponse else {}
    response: Json = {"description": route.summary}
    if route.status != 204:
        response["content"] = _content(route.response)
    return {**response, **({"links": links} if links else {})}


def _links() -> Iterator[tuple[str, Json]]:
    """Yield a link from init to each route that names a job."""
    for route in ROUTES:
        if route.has_job_id:
            yield route.name, {"operationId": route.name, "parameters": {"job_id": "$response.body#/job_id"}}


def _errors(route: Route) -> Json:
    codes: dict[int, list[str]] = {}
    for code in route.errors:
        codes.setdefault(STATUS_BY_CODE[code], []).append(code)
    return {str(status): _problem(status, codes[status]) for status in sorted(codes)}


def _problem(status: int, codes: list[str]) -> Json:
    properties = {"status": {"const": status}, "code": {"enum": codes}}
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}", "properties": properties}
    retry = {"Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}}}
    content = {"application/problem+json": {"schema": schema}}
    response: Json = {"description": STATUS_DESCRIPTIONS[status], "content": content}
    return {**response, **({"headers": retry} if status in (429, 503) else {})}


def _content(model: type[BaseModel] | None) -> Json:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"} if model else {"type": "object"}
    return {"application/json": {"schema": schema}}
