"""The OpenAPI document and the code say the same; what is no good request at all is a problem too."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import schemathesis
import uvicorn
from starlette.types import Receive, Scope, Send
from tests.harness.in_process import in_process_stack

from promptforge.engine.http_server import Protocol
from promptforge.engine.load_functions import HTTP_FUNCTIONS
from promptforge.entrypoints.http import PUBLIC_PATHS
from promptforge.entrypoints.openapi import document
from promptforge.entrypoints.responses import ProblemDetails

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "X")


def problem_of(reply: httpx.Response) -> ProblemDetails:
    """The problem that a reply is, in the form that is documented."""
    assert reply.headers["content-type"] == "application/problem+json"
    return ProblemDetails.model_validate_json(reply.content, strict=True, extra="forbid")


async def test_the_document_is_valid_and_served_without_a_key(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        reply = await one.http.get("/openapi.json")

    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json() == document()
    assert document()["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document(), config=schemathesis.Config()).validate()


def test_every_path_that_is_served_is_documented_and_every_documented_path_is_served() -> None:
    paths = document()["paths"]
    open_paths = {path for path, methods in paths.items() for call in methods.values() if call.get("security") == []}

    assert set(paths) == set(HTTP_FUNCTIONS)
    assert open_paths == set(PUBLIC_PATHS)


@pytest.mark.parametrize("path", HTTP_FUNCTIONS)
async def test_a_path_knows_the_documented_methods_and_no_others(tmp_path: Path, path: str) -> None:
    known = {method.upper() for method in document()["paths"][path]}
    known |= {"HEAD"} if "GET" in known else set()
    async with in_process_stack(tmp_path) as one:
        for method in METHODS:
            reply = await one.http.request(method, path.format(job_id="x"), headers=one.headers)
            if method in known:
                assert reply.status_code != 405
            else:
                assert (reply.status_code, reply.headers["allow"]) == (405, ", ".join(sorted(known)))
                assert method == "HEAD" or problem_of(reply).code == "method_not_allowed"


async def test_a_signed_url_knows_get_head_and_put(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        url = (await one.init())["upload_url"]
        for method in ("POST", "DELETE", "OPTIONS", "TRACE"):
            reply = await one.http.request(method, url)
            assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, PUT")
            assert problem_of(reply).code == "method_not_allowed"


@pytest.mark.parametrize("host", ["a/healthz?", "a/openapi.json#", "[", "a/jobs/b/status?", ""])
async def test_a_host_header_changes_neither_the_path_nor_the_answer(tmp_path: Path, host: str) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        path = f"/v1/jobs/{job_id}/status"
        refused = await one.http.get(path, headers={"Host": host})
        reply = await one.http.get(path, headers={"Host": host, **one.headers})

    assert (refused.status_code, problem_of(refused).code) == (401, "invalid_api_key")
    assert (reply.status_code, reply.json()["job_id"]) == (200, job_id)


async def test_what_is_no_http_is_answered_with_a_problem() -> None:
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


def test_a_function_loads_the_document_only_when_it_is_asked_for() -> None:
    script = (
        "import sys; from promptforge.engine.load_functions import load_function; load_function('status');"
        "sys.exit('promptforge.entrypoints.openapi' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
