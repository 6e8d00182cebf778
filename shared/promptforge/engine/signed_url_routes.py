"""The server of signed URLs: PUT an upload, GET a result."""

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from promptforge.adapters.local.objects import FileObjects
from promptforge.adapters.local.urls import PREFIX, InvalidSignature, UrlExpired
from promptforge.context import AppContext
from promptforge.entrypoints.responses import handle_errors, problem_response
from promptforge.errors import ObjectExists, ObjectMissing, RequestError
from promptforge.state.objects import uploaded_job

NDJSON = "application/x-ndjson"
ALREADY_UPLOADED = RequestError("already_uploaded", "This URL was already used. An upload cannot be replaced.")
JOB_NOT_FOUND = RequestError("job_not_found", "Job not found.")


class SignedUrlRoutes:
    """Serves the local buckets to requests with a valid signed URL."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        buckets = [bucket for bucket in (context.uploads, context.results) if isinstance(bucket, FileObjects)]
        self._buckets = {bucket.bucket: bucket for bucket in buckets}

    @property
    def route(self) -> Route:
        """The route of all signed URLs."""
        return Route(PREFIX + "/{bucket}/{name:path}", self._serve, methods=["PUT", "GET"])

    async def _serve(self, request: Request) -> Response:
        return await handle_errors("storage", self._respond(request))

    async def _respond(self, request: Request) -> Response:
        bucket, name = self._verify(request)
        return await (self._put if request.method == "PUT" else self._get)(bucket, name, request)

    def _verify(self, request: Request) -> tuple[FileObjects, str]:
        bucket = self._buckets.get(request.path_params["bucket"])
        name, method = request.path_params["name"], "GET" if request.method == "HEAD" else request.method
        try:
            if bucket is None:
                raise InvalidSignature
            bucket.signer.check(method, bucket.bucket, name, request.query_params, self._context.clock.now())
        except InvalidSignature:
            raise RequestError("bad_signature", "Invalid signature: the URL was not signed for this request.") from None
        except UrlExpired:
            raise RequestError("url_expired", "The URL has expired. Request a new one.") from None
        return bucket, name

    async def _put(self, bucket: FileObjects, name: str, request: Request) -> Response:
        upload = uploaded_job(name)
        if upload and await self._context.jobs.get(upload.job_id) is None:
            raise JOB_NOT_FOUND
        if await bucket.stat(name):
            raise ALREADY_UPLOADED
        limit = self._context.settings.max_upload_bytes
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        try:
            await bucket.create(name, _limited(request, limit))
        except ObjectExists:
            raise ALREADY_UPLOADED from None
        except ClientDisconnect:
            raise RequestError("upload_interrupted", "The upload was interrupted. Send it again.") from None
        return Response(status_code=200)

    async def _get(self, bucket: FileObjects, name: str, request: Request) -> Response:
        try:
            path = await bucket.file_of(name)
        except ObjectMissing:
            raise RequestError("object_not_found", "Object not found.") from None
        filename = request.query_params.get("filename")
        headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
        stat = path.stat()  # a missing file raises here, where the error still becomes a response
        return _Download(path, headers=headers, media_type=NDJSON, filename=filename, stat_result=stat)


class _Download(FileResponse):
    """A response with a file or a range of it.

    The response to an invalid range is problem details.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rejected = False

        async def send_problem_details(message: Message) -> None:
            nonlocal rejected
            if message["type"] == "http.response.start" and message["status"] >= 400:
                rejected = True
                error = RequestError("bad_range", "Invalid Range header, or the file does not contain the range.")
                response = problem_response(error, message["status"])
                response.raw_headers += [pair for pair in message["headers"] if pair[0] == b"content-range"]
                await response(scope, receive, send)
            elif not rejected:
                await send(message)

        await super().__call__(scope, receive, send_problem_details)


async def _limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for block in request.stream():
        size += len(block)
        if size > limit:
            raise _too_large(limit)
        yield block


def _too_large(limit: int) -> RequestError:
    return RequestError("upload_too_large", f"The file exceeds {limit} bytes. Split it into several jobs.")
