"""The OpenAPI document agrees with the served paths and methods, and every error is problem details."""

import asyncio
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import httpx
import pytest
import schemathesis
import uvicorn
from starlette.types import Receive, Scope, Send

from promptforge.engine.http_server import Protocol
from promptforge.engine.load_functions import HTTP_FUNCTIONS
from promptforge.entrypoints.http import PUBLIC_PATHS
from promptforge.entrypoints.openapi import document
from promptforge.entrypoints.responses import ProblemDetails
from promptforge.entrypoints.routes import ROUTES
from tests.harness.in_process import in_process_stack

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "X")


def problem_of(response: httpx.Response) -> ProblemDetails:
    """Return the problem details of a response, in the documented form."""
    assert response.headers["content-type"] == "application/problem+json"
    return ProblemDetails.model_validate_json(response.content, strict=True, extra="forbid")


async def test_document_is_valid_and_public(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        reply = await one.http.get("/openapi.json")

    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json() == document()
    assert document()["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(deepcopy(document()), config=schemathesis.Config()).validate()


def test_document_paths_equal_served_paths() -> None:
    paths = document()["paths"]
    public = {path for path, methods in paths.items() for call in methods.values() if call.get("security") == []}

    assert set(paths) == set(HTTP_FUNCTIONS)
    assert public == set(PUBLIC_PATHS) == {route.path for route in ROUTES if route.public}


@pytest.mark.parametrize("path", HTTP_FUNCTIONS)
async def test_path_accepts_documented_methods_only(tmp_path: Path, path: str) -> None:
    accepted = {method.upper() for method in document()["paths"][path]}
    accepted |= {"HEAD"} if "GET" in accepted else set()
    async with in_process_stack(tmp_path) as one:
        for method in METHODS:
            reply = await one.http.request(method, path.format(job_id="x"), headers=one.headers)
            if method in accepted:
                assert reply.status_code != 405
            else:
                assert (reply.status_code, reply.headers["allow"]) == (405, ", ".join(sorted(accepted)))
                assert method == "HEAD" or problem_of(reply).code == "method_not_allowed"


async def test_signed_url_accepts_get_head_and_put_only(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        url = (await one.init())["upload_url"]
        for method in ("POST", "DELETE", "OPTIONS", "TRACE"):
            reply = await one.http.request(method, url)
            assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, PUT")
            assert problem_of(reply).code == "method_not_allowed"


@pytest.mark.parametrize("host", ["a/healthz?", "a/openapi.json#", "[", "a/jobs/b/status?", ""])
async def test_host_header_does_not_change_path_or_response(tmp_path: Path, host: str) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        path = f"/v1/jobs/{job_id}/status"
        rejected = await one.http.get(path, headers={"Host": host})
        reply = await one.http.get(path, headers={"Host": host, **one.headers})

    assert (rejected.status_code, problem_of(rejected).code) == (401, "invalid_api_key")
    assert (reply.status_code, reply.json()["job_id"]) == (200, job_id)


async def test_server_invalid_http_returns_problem_details() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("no request came")

    server = uvicorn.Server(uvicorn.Config(app, port=0, http=Protocol, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    for request in (b"nonsense\r\n\r\n", b"GET /?" + b"q" * 100_000 + b" HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/problem+json" in head.lower()
        assert ProblemDetails.model_validate_json(body).code == "malformed_request"
    server.should_exit = True
    await serving


def test_function_start_does_not_import_document() -> None:
    script = (
        "import sys; from promptforge.engine.load_functions import load_function; load_function('status');"
        "sys.exit('promptforge.entrypoints.openapi' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
