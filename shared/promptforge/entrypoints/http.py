"""The functions' edge: HTTP requests and CloudEvents in, use-case arguments out; errors in a form callers can use."""

import base64
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import orjson
from cloudevents.http import from_http
from cloudevents.http.event import CloudEvent
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from promptforge import logs
from promptforge.api.auth import authenticate
from promptforge.bootstrap import current
from promptforge.domain.commands import TASK_EVENT_TYPE, Command, JobCommand, uploaded_job
from promptforge.domain.formats.native import validation_message
from promptforge.entrypoints.responses import HealthResponse, ProblemDetails
from promptforge.errors import ApiError, Unavailable

MAX_BODY_BYTES = 16 * 1024
MAX_EVENT_BYTES = 512 * 1024
PUBSUB_EVENT_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"
STORAGE_EVENT_TYPE = "google.cloud.storage.object.v1.finalized"

Model = TypeVar("Model", bound=BaseModel)
AnyMessage = TypeVar("AnyMessage", bound=Command)
Function = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request, str], Awaitable[Response]]
Decoder = Callable[[CloudEvent], AnyMessage | None]
EventHandler = Callable[[AnyMessage], Awaitable[None]]


# HTTP


def http_endpoint(method: str) -> Callable[[Handler], Function]:
    """Make an HTTP function of a handler (request, client): checks method and key, and answers problem+json
    for whatever goes wrong. HEAD is a GET without a body. Every such function also answers what is OPEN to all."""

    def decorate(handler: Handler) -> Function:
        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            return await handle_errors(handler.__name__, answer(request))

        async def answer(request: Request) -> Response:
            open_to_all = PUBLIC_PATHS.get(request.scope["path"])
            known = "GET" if open_to_all else method
            allowed = ("GET", "HEAD") if known == "GET" else (known,)
            if request.method not in allowed:
                return method_not_allowed(allowed)
            return open_to_all() if open_to_all else await handler(request, await _client(request))

        return endpoint

    return decorate


async def handle_errors(name: str, answer: Awaitable[Response]) -> Response:
    """The answer, or the problem that came up instead; one of our own is logged under `name`, without its text."""
    try:
        return await answer
    except ApiError as exc:
        return problem_response(exc)
    except Exception as exc:
        return _failure_response("request_failed", exc, function=name)


def _health() -> Response:
    return json_response(200, HealthResponse())


def _document() -> Response:
    from promptforge.entrypoints.openapi import document

    return json_response(200, document())


PUBLIC_PATHS = {"/healthz": _health, "/health": _health, "/openapi.json": _document}
"""The paths that need no key. On Cloud Run some that end in z are reserved: it answers /healthz itself, with 404."""


def json_response(status: int, body: BaseModel | dict[str, Any], media_type: str = "application/json") -> Response:
    """A JSON answer that no cache keeps."""
    content = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(content), status, headers, media_type)


def no_content() -> Response:
    """The answer that there is nothing to say."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def problem_response(error: ApiError) -> Response:
    """An error as RFC 9457 problem details."""
    body = ProblemDetails(status=error.status, code=error.code, detail=error.detail)
    response = json_response(error.status, body, "application/problem+json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _failure_response(event: str, exc: Exception, **fields: logs.Field) -> Response:
    """What a caller is told of what is not their doing, which is nothing of what it was. Our log has its kind."""
    cause = type(exc.__cause__).__name__ if exc.__cause__ else None
    logs.error(event, **fields, error=type(exc).__name__, cause=cause, at=_error_location(exc))
    if isinstance(exc, Unavailable):
        return problem_response(ApiError(503, "unavailable", "Try again in a moment.", retry_after=5))
    return problem_response(ApiError(500, "internal_error", "Something went wrong on our side."))


def method_not_allowed(allowed: Iterable[str]) -> Response:
    """The answer to a method that a path does not know."""
    names = sorted(allowed)
    response = problem_response(ApiError(405, "method_not_allowed", f"Use {' or '.join(names)} here."))
    response.headers["Allow"] = ", ".join(names)
    return response


async def parse_body(request: Request, model: type[Model]) -> Model:
    """The request's body. Raises ApiError 413, 400 for what is not a JSON object, 422 naming the field."""
    body = await _body(request, MAX_BODY_BYTES)
    try:
        data = orjson.loads(body)
    except ValueError:
        raise ApiError(400, "malformed_json", "The body is not valid JSON.") from None
    if not isinstance(data, dict):
        raise ApiError(400, "malformed_json", "The body is not a JSON object.")
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        raise ApiError(422, "invalid_field", validation_message(exc)) from None


async def _body(request: Request, limit: int) -> bytes:
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > limit:
            raise ApiError(413, "body_too_large", f"The body may have at most {limit} bytes.")
    return body


def header(request: Request, name: str) -> str | None:
    """A header's value, None without one. One that was sent twice is joined, as HTTP wants it."""
    return ", ".join(request.headers.getlist(name)) if name in request.headers else None


def job_id_from_path(request: Request) -> str:
    """The job id of a path that ends in /jobs/JOB_ID or /jobs/JOB_ID/VERB; empty if there is none."""
    path: str = request.scope["path"]  # request.url is built of what the Host header says
    return path.rpartition("/jobs/")[2].partition("/")[0]


async def _client(request: Request) -> str:
    keys = request.headers.getlist("x-api-key")
    return await authenticate(current(), keys[0] if len(keys) == 1 else None)


# Events


def event_endpoint(decode: Decoder[AnyMessage]) -> Callable[[EventHandler[AnyMessage]], Function]:
    """Make an HTTP function of a handler of messages, for everything that the platform POSTs: events, messages, tasks
    and the timer. What cannot be decoded is logged and acknowledged, for it would never get better; any fault of the
    handler asks for redelivery, without its text, which may hold a client's data."""

    def decorate(handler: EventHandler[AnyMessage]) -> Function:
        name = handler.__name__

        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            if request.method != "POST":
                return method_not_allowed(["POST"])
            return await handle_errors(name, answer(request))

        async def answer(request: Request) -> Response:
            await _authorize_caller(name, request)
            received = await _decode_request(name, request, decode)
            if received is not None:
                try:
                    await handler(received)
                except Exception as exc:
                    return _failure_response("event_failed", exc, function=name, job_id=received.job_id)
            return Response(status_code=204)

        return endpoint

    return decorate


def decode_command(model: type[AnyMessage]) -> Decoder[AnyMessage]:
    """Decodes one of our messages, from a Pub/Sub envelope or bare in a task. Raises ValueError and the like."""

    def decode(cloud_event: CloudEvent) -> AnyMessage:
        if cloud_event["type"] == PUBSUB_EVENT_TYPE:
            return model.model_validate_json(base64.b64decode(cloud_event.data["message"]["data"], validate=True))
        return model.model_validate(cloud_event.data)

    return decode


def decode_upload(cloud_event: CloudEvent) -> JobCommand | None:
    """Decodes "this job's input is there" from a storage event, "split it" from a task; None for a foreign object."""
    if cloud_event["type"] == STORAGE_EVENT_TYPE:
        return uploaded_job(cloud_event.data["name"])
    return decode_command(JobCommand)(cloud_event)


async def _authorize_caller(function: str, request: Request) -> None:
    """Raise ApiError 403, without saying why, unless the caller may call the function. Where both headers are given,
    Cloud Run has looked at the first alone."""
    callers = current().caller_auth
    if callers is None:
        return
    tokens = request.headers.getlist("x-serverless-authorization") or request.headers.getlist("authorization")
    kind, _, token = (tokens[0] if len(tokens) == 1 else "").partition(" ")
    refusal = await callers.rejection_reason(function, token if kind.lower() == "bearer" else "")
    if refusal:
        logs.warning("caller_rejected", function=function, reason=refusal)
        raise ApiError(403, "forbidden", "You may not call this.")


async def _decode_request(function: str, request: Request, decode: Decoder[AnyMessage]) -> AnyMessage | None:
    """The message that was sent; None, and a line in the log, for whatever is none."""
    kind: object = request.headers.get("ce-type")
    try:
        cloud_event = _to_cloud_event(request, await _body(request, MAX_EVENT_BYTES))
        kind = cloud_event["type"]
        received = decode(cloud_event)
    except ClientDisconnect:
        raise
    except Exception:  # in a stranger's data anything can go wrong, in the library that reads it too
        received = None
    if received is None:
        logs.warning("event_ignored", function=function, type=_ascii_safe(kind))
    return received


def _to_cloud_event(request: Request, body: bytes) -> CloudEvent:
    """What was sent as a CloudEvent (by Eventarc, or as one of our tasks); a plain Pub/Sub push as what Eventarc would
    make of it, and bare JSON (of Cloud Scheduler) as a task. Raises all kinds of errors."""
    if "ce-specversion" in request.headers or "cloudevents" in request.headers.get("content-type", ""):
        return from_http(request.headers, body)
    data = orjson.loads(body)
    return CloudEvent(
        {"type": PUBSUB_EVENT_TYPE if "message" in data else TASK_EVENT_TYPE, "source": "//promptforge/push"}, data
    )


def _ascii_safe(foreign: object) -> str:
    """What a stranger sent, fit for a log line: half a surrogate pair would cost the whole line."""
    return str(foreign)[:100].encode("ascii", "backslashreplace").decode()


def _error_location(exc: BaseException) -> str:
    """Where an exception was raised; its text stays out of the log."""
    trace = exc.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
