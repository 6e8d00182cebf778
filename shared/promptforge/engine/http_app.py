"""The engine's one port: the HTTP functions under their documented paths, and the signed URLs."""

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
from promptforge.entrypoints.http import method_not_allowed, problem_response
from promptforge.errors import ApiError

FRAMEWORK_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def api_app(app: AppContext, wake: Callable[[], None]) -> ASGIApp:
    """Everything a client can reach. `wake` is called after each request, which may have left something to deliver."""
    api = serving([*routes(HTTP_FUNCTIONS), SignedUrlRoutes(app).route])

    async def waking(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await api(scope, receive, send)
        finally:
            wake()

    return waking


def routes(paths: Mapping[str, str]) -> list[BaseRoute]:
    """Functions by the paths that lead to them."""
    return [Route(path, _Function(load_function(name))) for path, name in paths.items()]


def serving(those: list[BaseRoute]) -> Starlette:
    """An app of routes, which refuses in our own form what none of them takes."""
    app = Starlette(routes=those, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False  # a redirect would repeat whatever the Host header says
    return app


class _Function:
    """A function's app as a route's endpoint: Starlette calls a class instance as ASGI, for every method.

    The framework refuses the methods that it does not know itself, in plain text. They come to the function as OPTIONS,
    which it refuses as it refuses all others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in FRAMEWORK_METHODS else "OPTIONS"
        await self._app({**scope, "method": method}, receive, send)


async def _refused(request: Request, exc: Exception) -> Response:
    if isinstance(exc, HTTPException) and exc.status_code == 405 and exc.headers:
        return method_not_allowed(exc.headers["Allow"].split(", "))
    return problem_response(ApiError(404, "not_found", "There is nothing at this path."))
