"""Schemathesis reads the OpenAPI document and sends the API what it allows and what it forbids."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from schemathesis.specs.openapi.checks import response_schema_conformance
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.engine.http_app import api_app
from promptforge.entrypoints.openapi import document
from promptforge.settings import PROVIDER_KEYS

Case = schemathesis.Case[Any]
SETTINGS = hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=60)


class Api:
    """Schemathesis wants the app when the tests are collected, before the machine of its fixture is there."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


schema = schemathesis.openapi.from_dict(document(), config=schemathesis.Config(seed=1))
schema.app = Api()


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    """Where the machine lives: schemathesis calls from outside any event loop."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def clock() -> HandClock:
    """The machine's clock."""
    return HandClock()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal, clock: HandClock) -> Iterator[InProcessStack]:
    """One machine for all, with a key and a price for every provider. Its jobs stay between the requests, as those of
    a real one do."""
    keys = {name: "key" for name, variable in PROVIDER_KEYS.items() if variable}
    folder = tmp_path_factory.mktemp("machine")
    settings: dict[str, Any] = {"provider_keys": keys, "prices": {f"{name}/*": (1, 2) for name in PROVIDER_KEYS}}
    settings |= {"max_active_jobs": 100_000, "requests_per_second": 100_000}
    with portal.wrap_async_context_manager(in_process_stack(folder, clock, **settings)) as one:
        schema.app.app = api_app(one.app, lambda: None)
        yield one


def call(case: Case, one: InProcessStack) -> schemathesis.Response:
    """Send a case. No schema can say that a key was used with another order or for a deleted job, nor which parameter a
    provider has no place for, nor what is a good schema; such an order goes without them."""
    response = case.call(headers=one.headers)
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
def test_every_answer_is_as_documented(case: Case, one: InProcessStack) -> None:
    case.validate_response(call(case, one), headers=one.headers)


@schema.parametrize()
@hypothesis.settings(SETTINGS, max_examples=10)
def test_every_answer_to_a_stranger_is_as_documented(case: Case, one: InProcessStack) -> None:
    case.call_and_validate()


def test_calls_that_follow_from_one_another_are_as_documented(one: InProcessStack) -> None:
    class Links(schema.as_state_machine()):  # type: ignore[misc]
        def call(self, case: Case, **kwargs: Any) -> schemathesis.Response:
            return call(case, one)

        def validate_response(self, response: schemathesis.Response, case: Case, **kwargs: Any) -> None:
            case.validate_response(response, headers=one.headers)

    Links.run(settings=hypothesis.settings(SETTINGS, max_examples=15, stateful_step_count=8))


def test_every_state_of_a_job_is_as_documented(one: InProcessStack, portal: BlockingPortal, clock: HandClock) -> None:
    def seen(job_id: str) -> tuple[str, int]:
        paths = ("/v1/jobs/{job_id}/status", "/v1/jobs/{job_id}/results")
        cases = [schema[path]["GET"].Case(path_parameters={"job_id": job_id}) for path in paths]
        status, results = [case.call_and_validate(headers=one.headers) for case in cases]
        assert status.status_code == 200
        return status.json()["status"], results.status_code

    ticket = portal.call(one.init)
    unused = portal.call(one.init)["job_id"]
    assert seen(ticket["job_id"]) == ("AWAITING_UPLOAD", 409)
    portal.call(one.put, ticket["upload_url"], prompts(3))
    portal.call(one.until_ended, ticket["job_id"])
    assert seen(ticket["job_id"]) == ("COMPLETED", 200)
    assert seen(portal.call(one.run, b"not JSON\n")) == ("FAILED", 200)
    clock.move(15 * 60 + 3601)
    portal.call(one.until_ended, unused)
    assert seen(unused) == ("FAILED", 409)
