"""Requests to HTTP functions: body, headers and path."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from promptforge.errors import RequestError

MAX_BODY_BYTES = 16 * 1024
MAX_EVENT_BYTES = 512 * 1024

AnyModel = TypeVar("AnyModel", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]


async def parse_body(request: Request, model: type[AnyModel]) -> AnyModel:
    """Return the request's JSON body as a model.

    Raises:
        RequestError: body_too_large, malformed_json, or invalid_field with the name of the field.
    """
    body = await read_body(request, MAX_BODY_BYTES)
    try:
        data = orjson.loads(body)
    except ValueError:
        raise RequestError("malformed_json", "The body is not valid JSON.") from None
    if not isinstance(data, dict):
        raise RequestError("malformed_json", "The body is not a JSON object.")
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        from promptforge.domain.formats.native import validation_message  # few functions need it at their start

        raise RequestError("invalid_field", validation_message(exc)) from None


async def read_body(request: Request, limit: int) -> bytes:
    """Return the request's body.

    Raises RequestError if it exceeds `limit` bytes.
    """
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > limit:
            raise RequestError("body_too_large", f"The body exceeds {limit} bytes.")
    return body


def header(request: Request, name: str) -> str | None:
    """Return a header's value, or None without the header.

    Repeated headers are joined with commas, as HTTP defines.
    """
    return ", ".join(request.headers.getlist(name)) if name in request.headers else None


def job_id_from_path(request: Request) -> str:
    """Return the job id of a path that contains /jobs/JOB_ID, or an empty text."""
    path: str = request.scope["path"]  # not from request.url, because the Host header can change that one
    return path.rpartition("/jobs/")[2].partition("/")[0]
