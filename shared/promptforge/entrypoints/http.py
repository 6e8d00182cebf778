"""The decorator of the HTTP functions."""

import functools
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from promptforge.api.auth import authenticate
from promptforge.bootstrap import current
from promptforge.entrypoints.requests import Endpoint
from promptforge.entrypoints.responses import HealthResponse, handle_errors, json_response, method_not_allowed

Handler = Callable[[Request, str], Awaitable[Response]]
"""(request, client) → response."""


def http_endpoint(method: str) -> Callable[[Handler], Endpoint]:
    """Return a decorator that makes an HTTP function of a handler.

    The function checks the method and the API key, and turns every error into problem details. HEAD is accepted
    wherever GET is. Each function also serves PUBLIC_PATHS.
    """

    def decorate(handler: Handler) -> Endpoint:
        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            return await handle_errors(handler.__name__, respond(request))

        async def respond(request: Request) -> Response:
            public = PUBLIC_PATHS.get(request.scope["path"])
            expected = "GET" if public else method
            allowed = ("GET", "HEAD") if expected == "GET" else (expected,)
            if request.method not in allowed:
                return method_not_allowed(allowed)
            return public() if public else await handler(request, await _authenticate(request))

        return endpoint

    return decorate


async def _authenticate(request: Request) -> str:
    keys = request.headers.getlist("x-api-key")
    return await authenticate(current(), keys[0] if len(keys) == 1 else None)


def _health() -> Response:
    return json_response(200, HealthResponse())


def _openapi() -> Response:
    from promptforge.entrypoints.openapi import document  # only this request needs the models of every route

    return json_response(200, document())


PUBLIC_PATHS = {"/healthz": _health, "/health": _health, "/openapi.json": _openapi}
"""The paths without an API key. Cloud Run reserves some paths that end in z: it answers /healthz itself, with 404."""
