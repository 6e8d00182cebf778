"""Schemathesis reads the OpenAPI document and sends requests that it allows and that it forbids."""

from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from typing import Any, TypeVar

import hypothesis
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from schemathesis.specs.openapi.checks import response_schema_conformance
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge.bootstrap import set_current
from promptforge.engine.http_app import api_app
from promptforge.entrypoints.openapi import document
from promptforge.settings import PROVIDER_KEYS
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

Case = schemathesis.Case[Any]
T = TypeVar("T")
SETTINGS = hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=60)


class Api:
    """The app of the fixture's stack.

    Schemathesis needs an app when the tests are collected, before the fixture exists. It calls the app in a context
    of its own, so each call sets the current context.
    """

    app: ASGIApp
    stack: InProcessStack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        set_current(self.stack.context, self.stack.runtime)
        await self.app(scope, receive, send)


schema = schemathesis.openapi.from_dict(deepcopy(document()), config=schemathesis.Config(seed=1))
schema.app = Api()


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    """Return the event loop of the stack: schemathesis calls from outside any event loop."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    """Return the clock of the stack."""
    return ManualClock()


@pytest.fixture(scope="module")
def one(
    tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal, clock: ManualClock
) -> Iterator[InProcessStack]:
    """Return one stack for all tests, with a key and a price for every provider.

    Its jobs stay between the requests, as in production.
    """
    keys = {name: "key" for name, variable in PROVIDER_KEYS.items() if variable}
    folder = tmp_path_factory.mktemp("stack")
    settings: dict[str, Any] = {"provider_keys": keys, "prices": {f"{name}/*": (1, 2) for name in PROVIDER_KEYS}}
    settings |= {"max_active_jobs": 100_000, "requests_per_second": 100_000}
    with portal.wrap_async_context_manager(in_process_stack(folder, clock, **settings)) as one:
        schema.app.app, schema.app.stack = api_app(one.context, lambda: None), one
        yield one


def call(case: Case, one: InProcessStack) -> schemathesis.Response:
    """Send a case, without the fields that a schema cannot express if they cause an error.

    No schema can tell which Idempotency-Key was used with another body or for a deleted job. Nor can it tell which
    parameters a provider does not support, or which JSON Schemas are valid.
    """
    response = case.call(headers=one.headers)
    assert response.status_code != 401 or "X-API-Key" not in response.request.headers  # some cases omit the key
    if response.status_code == 422 and response.json()["code"] == "unsupported_parameter":
        case.validate_response(response, [response_schema_conformance])
        assert isinstance(case.body, dict)
        case.body = {name: value for name, value in case.body.items() if name not in ("seed", "response_format")}
        response = case.call(headers=one.headers)
    if response.status_code in (409, 422) and response.json()["code"] in ("idempotency_key_reused", "job_deleted"):
        case.validate_response(response, [response_schema_conformance])
        del case.headers["Idempotency-Key"]
        response = case.call(headers=one.headers)
    return response


@schema.parametrize()
@SETTINGS
def test_api_response_to_client_conforms_to_document(case: Case, one: InProcessStack) -> None:
    case.validate_response(call(case, one), headers=one.headers)


@schema.parametrize()
@hypothesis.settings(SETTINGS, max_examples=10)
def test_api_response_without_key_conforms_to_document(case: Case, one: InProcessStack) -> None:
    case.call_and_validate()


def test_api_linked_calls_conform_to_document(one: InProcessStack) -> None:
    class Links(schema.as_state_machine()):  # type: ignore[misc]
        def call(self, case: Case, **kwargs: Any) -> schemathesis.Response:
            return call(case, one)

        def validate_response(self, response: schemathesis.Response, case: Case, **kwargs: Any) -> None:
            case.validate_response(response, headers=one.headers)

    Links.run(settings=hypothesis.settings(SETTINGS, max_examples=15, stateful_step_count=8))


def test_api_response_in_each_job_status_conforms_to_document(
    one: InProcessStack, portal: BlockingPortal, clock: ManualClock
) -> None:
    def run(function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        async def in_context() -> T:
            set_current(one.context, one.runtime)
            return await function(*arguments)

        return portal.call(in_context)

    def responses(job_id: str) -> tuple[str, int]:
        paths = ("/v1/jobs/{job_id}/status", "/v1/jobs/{job_id}/results")
        cases = [schema[path]["GET"].Case(path_parameters={"job_id": job_id}) for path in paths]
        status, results = [case.call_and_validate(headers=one.headers) for case in cases]
        assert status.status_code == 200
        return status.json()["status"], results.status_code

    job = run(one.init)
    unused = run(one.init)["job_id"]
    assert responses(job["job_id"]) == ("AWAITING_UPLOAD", 409)
    run(one.put, job["upload_url"], prompts(3))
    run(one.wait_until_finished, job["job_id"])
    assert responses(job["job_id"]) == ("COMPLETED", 200)
    assert responses(run(one.run, b"not JSON\n")) == ("FAILED", 200)
    clock.advance(15 * 60 + 3601)
    run(one.wait_until_finished, unused)
    assert responses(unused) == ("FAILED", 409)
