"""The signed URLs' other end: PUT one upload, GET one result."""

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from promptforge.adapters.local.objects import FileObjects
from promptforge.adapters.local.urls import PREFIX, InvalidSignature, UrlExpired
from promptforge.context import AppContext
from promptforge.domain.commands import uploaded_job
from promptforge.entrypoints.http import handle_errors, problem_response
from promptforge.errors import ApiError, ObjectExists, ObjectMissing

NDJSON = "application/x-ndjson"
ALREADY_UPLOADED = ApiError(403, "already_uploaded", "This URL was used; it cannot replace what was uploaded.")
JOB_NOT_FOUND = ApiError(404, "job_not_found", "There is no such job.")


class SignedUrlRoutes:
    """Serves the buckets of an App on this machine, to whoever bears a URL that was signed for the request."""

    def __init__(self, app: AppContext) -> None:
        self._app = app
        buckets = [bucket for bucket in (app.uploads, app.results) if isinstance(bucket, FileObjects)]
        self._buckets = {bucket.bucket: bucket for bucket in buckets}

    @property
    def route(self) -> Route:
        """The route of all signed URLs."""
        return Route(PREFIX + "/{bucket}/{name:path}", self._serve, methods=["PUT", "GET"])

    async def _serve(self, request: Request) -> Response:
        return await handle_errors("storage", self._answer(request))

    async def _answer(self, request: Request) -> Response:
        bucket, name = self._allowed(request)
        return await (self._put if request.method == "PUT" else self._get)(bucket, name, request)

    def _allowed(self, request: Request) -> tuple[FileObjects, str]:
        bucket = self._buckets.get(request.path_params["bucket"])
        name, method = request.path_params["name"], "GET" if request.method == "HEAD" else request.method
        try:
            if bucket is None:
                raise InvalidSignature
            bucket.signer.check(method, bucket.bucket, name, request.query_params, self._app.clock.now())
        except InvalidSignature:
            raise ApiError(403, "bad_signature", "The URL is not one that was signed for this request.") from None
        except UrlExpired:
            raise ApiError(403, "url_expired", "The URL has expired; ask for a new one.") from None
        return bucket, name

    async def _put(self, bucket: FileObjects, name: str, request: Request) -> Response:
        upload = uploaded_job(name)
        if upload and await self._app.ledger.get(upload.job_id) is None:
            raise JOB_NOT_FOUND
        if await bucket.stat(name):
            raise ALREADY_UPLOADED
        limit = self._app.settings.max_upload_bytes
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        try:
            await bucket.create(name, _limited(request, limit))
        except ObjectExists:
            raise ALREADY_UPLOADED from None
        except ClientDisconnect:
            raise ApiError(400, "upload_interrupted", "The upload ended early; send it again.") from None
        return Response(status_code=200)

    async def _get(self, bucket: FileObjects, name: str, request: Request) -> Response:
        try:
            path = await bucket.file_of(name)
        except ObjectMissing:
            raise ApiError(404, "object_not_found", "The object is gone.") from None
        filename = request.query_params.get("filename")
        headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
        there = path.stat()  # raised here, a missing file is a fault that is answered
        return _Download(path, headers=headers, media_type=NDJSON, filename=filename, stat_result=there)


class _Download(FileResponse):
    """A file, or the part of it that was asked for; a part that cannot be had is a problem like any other."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def in_our_words(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refused = True
                detail = "The Range header asks for nothing that this file has."
                response = problem_response(ApiError(message["status"], "bad_range", detail))
                response.raw_headers += [pair for pair in message["headers"] if pair[0] == b"content-range"]
                await response(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, in_our_words)


async def _limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for block in request.stream():
        size += len(block)
        if size > limit:
            raise _too_large(limit)
        yield block


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "upload_too_large", f"A file may have at most {limit} bytes; split it into several jobs.")
