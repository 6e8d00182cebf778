"""The decorator of the event functions, and the decoders of what the platform POSTs to them."""

import base64
import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import orjson
from cloudevents.http import from_http
from cloudevents.http.event import CloudEvent
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from promptforge import logs
from promptforge.bootstrap import current
from promptforge.domain.commands import TASK_EVENT_TYPE, Command, JobCommand
from promptforge.entrypoints.requests import MAX_EVENT_BYTES, Endpoint, read_body
from promptforge.entrypoints.responses import failure_response, handle_errors, method_not_allowed
from promptforge.errors import RequestError
from promptforge.state.objects import uploaded_job

PUBSUB_EVENT_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"
STORAGE_EVENT_TYPE = "google.cloud.storage.object.v1.finalized"

AnyCommand = TypeVar("AnyCommand", bound=Command)
Decoder = Callable[[CloudEvent], AnyCommand | None]
EventHandler = Callable[[AnyCommand], Awaitable[None]]


def event_endpoint(decode: Decoder[AnyCommand]) -> Callable[[EventHandler[AnyCommand]], Endpoint]:
    """Return a decorator that makes a function of a handler of commands.

    The function accepts everything that the platform POSTs: events, Pub/Sub messages, tasks and the scheduler's
    requests. A request that cannot be decoded is logged and acknowledged, because a redelivery would not change it.
    Any error of the handler returns a status that makes the platform deliver the request again.
    """

    def decorate(handler: EventHandler[AnyCommand]) -> Endpoint:
        name = handler.__name__

        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            if request.method != "POST":
                return method_not_allowed(["POST"])
            return await handle_errors(name, respond(request))

        async def respond(request: Request) -> Response:
            await authorize_caller(name, request)
            command = await decode_request(name, request, decode)
            if command is not None:
                try:
                    await handler(command)
                except Exception as exc:
                    return failure_response("event_failed", exc, function=name, job_id=command.job_id)
            return Response(status_code=204)

        return endpoint

    return decorate


def decode_command(model: type[AnyCommand]) -> Decoder[AnyCommand]:
    """Return a decoder of commands, in a Pub/Sub envelope or as the body of a task.

    The decoder raises ValueError, KeyError or TypeError for anything else.
    """

    def decode(cloud_event: CloudEvent) -> AnyCommand:
        if cloud_event["type"] == PUBSUB_EVENT_TYPE:
            return model.model_validate_json(base64.b64decode(cloud_event.data["message"]["data"], validate=True))
        return model.model_validate(cloud_event.data)

    return decode


def decode_upload(cloud_event: CloudEvent) -> JobCommand | None:
    """Decode the storage event of an upload, or a task's command to split the job.

    Returns None for an object that is not an upload.
    """
    if cloud_event["type"] == STORAGE_EVENT_TYPE:
        return uploaded_job(cloud_event.data["name"])
    return decode_command(JobCommand)(cloud_event)


async def authorize_caller(function: str, request: Request) -> None:
    """Raise RequestError, without a reason, unless the caller may call the function.

    If both headers are present, only the first one counts, because Cloud Run checks only that one.
    """
    caller_auth = current().caller_auth
    if caller_auth is None:
        return
    tokens = request.headers.getlist("x-serverless-authorization") or request.headers.getlist("authorization")
    kind, _, token = (tokens[0] if len(tokens) == 1 else "").partition(" ")
    reason = await caller_auth.rejection_reason(function, token if kind.lower() == "bearer" else "")
    if reason:
        logs.warning("caller_rejected", function=function, reason=reason)
        raise RequestError("forbidden", "Forbidden.")


async def decode_request(function: str, request: Request, decode: Decoder[AnyCommand]) -> AnyCommand | None:
    """Return the command of a request; log anything else and return None."""
    kind: object = request.headers.get("ce-type")
    try:
        cloud_event = to_cloud_event(request, await read_body(request, MAX_EVENT_BYTES))
        kind = cloud_event["type"]
        command = decode(cloud_event)
    except ClientDisconnect:
        raise
    except Exception:  # decoding untrusted input may raise anything, including in the library
        command = None
    if command is None:
        logs.warning("event_ignored", function=function, type=ascii_safe(kind))
    return command


def to_cloud_event(request: Request, body: bytes) -> CloudEvent:
    """Return the CloudEvent of a request.

    Eventarc and tasks send CloudEvents. A Pub/Sub push gets the type that Eventarc would give it, and the bare JSON
    of Cloud Scheduler becomes a task. Any other request raises one of many errors.
    """
    if "ce-specversion" in request.headers or "cloudevents" in request.headers.get("content-type", ""):
        return from_http(request.headers, body)
    data = orjson.loads(body)
    return CloudEvent(
        {"type": PUBSUB_EVENT_TYPE if "message" in data else TASK_EVENT_TYPE, "source": "//promptforge/push"}, data
    )


def ascii_safe(untrusted: object) -> str:
    """Return at most 100 characters of an untrusted value, in ASCII.

    A lone surrogate cannot be encoded, so it would suppress the whole log line.
    """
    return str(untrusted)[:100].encode("ascii", "backslashreplace").decode()
