"""Responses of HTTP functions: JSON bodies, and errors as RFC 9457 problem details."""

from collections.abc import Awaitable, Iterable
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from promptforge import logs
from promptforge.errors import RequestError, Unavailable

ERROR_CODES = {
    400: ("invalid_idempotency_key", "malformed_json", "malformed_request", "upload_interrupted"),
    401: ("invalid_api_key",),
    403: ("already_uploaded", "bad_signature", "forbidden", "url_expired"),
    404: ("job_not_found", "not_found", "object_not_found"),
    405: ("method_not_allowed",),
    409: ("already_ended", "job_deleted", "no_results", "not_finished"),
    413: ("body_too_large", "upload_too_large"),
    416: ("bad_range",),
    422: (
        "idempotency_key_reused",
        "invalid_field",
        "price_unknown",
        "provider_not_configured",
        "unsupported_parameter",
        "unsupported_provider",
    ),
    429: ("rate_limited", "spend_limit", "too_many_jobs"),
    500: ("internal_error",),
    503: ("unavailable",),
}
"""The HTTP status of each error code. A code has one status."""

STATUS_BY_CODE = {code: status for status, codes in ERROR_CODES.items() for code in codes}


class HealthResponse(BaseModel):
    """The response of GET /healthz."""

    model_config = ConfigDict(defer_build=True)

    status: Literal["ok"] = "ok"


class ProblemDetails(BaseModel):
    """An error as RFC 9457 problem details: `code` is stable and meant for programs, `detail` is for people."""

    model_config = ConfigDict(defer_build=True)

    type: Literal["about:blank"] = "about:blank"
    status: int
    code: str
    detail: str


def json_response(status: int, body: BaseModel | dict[str, Any], media_type: str = "application/json") -> Response:
    """Return a JSON response that no cache stores."""
    content = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(content), status, headers, media_type)


def no_content() -> Response:
    """Return a response without a body, which no cache stores."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def problem_response(error: RequestError, status: int | None = None) -> Response:
    """Return an error as problem details, with the status of its code unless another one is given."""
    status = status or STATUS_BY_CODE[error.code]
    body = ProblemDetails(status=status, code=error.code, detail=error.detail)
    response = json_response(status, body, "application/problem+json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def method_not_allowed(allowed: Iterable[str]) -> Response:
    """Return the response to a method that the path does not accept."""
    names = sorted(allowed)
    response = problem_response(RequestError("method_not_allowed", f"Method not allowed. Use {' or '.join(names)}."))
    response.headers["Allow"] = ", ".join(names)
    return response


async def handle_errors(function: str, response: Awaitable[Response]) -> Response:
    """Return the awaited response, or problem details for the error that it raises.

    An unexpected error is logged under the name of the function.
    """
    try:
        return await response
    except RequestError as exc:
        return problem_response(exc)
    except Exception as exc:
        return failure_response("request_failed", exc, function=function)


def failure_response(event: str, exc: Exception, **fields: logs.Field) -> Response:
    """Log an unexpected error and return a response that tells the caller nothing about its cause.

    The log holds the types and the location, not the text, because the text may contain a client's data. For
    Unavailable it also holds the name of the dependency.
    """
    if isinstance(exc, Unavailable):
        fields["dependency"] = exc.dependency
    cause = type(exc.__cause__).__name__ if exc.__cause__ else None
    logs.error(event, **fields, error=type(exc).__name__, cause=cause, at=error_location(exc))
    if isinstance(exc, Unavailable):
        return problem_response(
            RequestError("unavailable", "A dependency is temporarily unavailable. Retry the request.", retry_after=5)
        )
    return problem_response(RequestError("internal_error", "Internal server error."))


def error_location(exc: BaseException) -> str:
    """Return the function and the line that raised an exception, or an empty text."""
    trace = exc.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
