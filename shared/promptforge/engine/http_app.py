"""The engine's HTTP app: the HTTP functions under their paths, and the signed URLs."""

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge.context import AppContext
from promptforge.engine.load_functions import HTTP_FUNCTIONS, load_function
from promptforge.engine.signed_url_routes import SignedUrlRoutes
from promptforge.entrypoints.responses import method_not_allowed, problem_response
from promptforge.errors import RequestError

FRAMEWORK_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def api_app(context: AppContext, wake: Callable[[], None]) -> ASGIApp:
    """Return the app of everything that a client can reach.

    `wake` is called after each request, because the request may have added a delivery to the queue.
    """
    api = routed_app([*function_routes(HTTP_FUNCTIONS), SignedUrlRoutes(context).route])

    async def waking(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await api(scope, receive, send)
        finally:
            wake()

    return waking


def function_routes(paths: Mapping[str, str]) -> list[BaseRoute]:
    """Return the routes to functions, given the name of a function for each path."""
    return [Route(path, _FunctionEndpoint(load_function(name))) for path, name in paths.items()]


def routed_app(routes: list[BaseRoute]) -> Starlette:
    """Return an app that rejects with problem details every request that no route accepts."""
    app = Starlette(routes=routes, exception_handlers={HTTPException: _rejected})
    app.router.redirect_slashes = False  # a redirect would repeat the Host header, which a client may forge
    return app


class _FunctionEndpoint:
    """A function's app as the endpoint of a route, for every method: Starlette calls a class instance as ASGI.

    The framework rejects methods that it does not know by itself, in plain text. They reach the function as OPTIONS,
    so that it rejects them as it rejects all others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in FRAMEWORK_METHODS else "OPTIONS"
        await self._app({**scope, "method": method}, receive, send)


async def _rejected(request: Request, exc: Exception) -> Response:
    if isinstance(exc, HTTPException) and exc.status_code == 405 and exc.headers:
        return method_not_allowed(exc.headers["Allow"].split(", "))
    return problem_response(RequestError("not_found", "Path not found."))
