"""Schemathesis reads the OpenAPI document and sends the API what it allows and what it forbids."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.support.machine import Machine, machine

from promptforge.local.api import api_app
from promptforge.openapi import document
from promptforge.settings import PROVIDER_KEYS

SETTINGS = hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=60)


class Api:
    """Schemathesis wants the app when the tests are collected, before the machine of its fixture is there."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


schema = schemathesis.openapi.from_dict(document(), config=schemathesis.Config())
schema.app = Api()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine for all, with a key for every provider. Its jobs stay between the requests, as a real one's do."""
    folder = tmp_path_factory.mktemp("machine")
    keys = {name: "key" for name, variable in PROVIDER_KEYS.items() if variable}
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(machine(folder, provider_keys=keys)) as one,
    ):
        schema.app.app = api_app(one.app, lambda: None)
        yield one


def judge(response: schemathesis.Response, case: schemathesis.Case, one: Machine) -> None:
    """Every check there is. No schema can say that an Idempotency-Key was used before with another order."""
    reused = b'"idempotency_key_reused"' in response.content
    excluded = [positive_data_acceptance] if reused else []
    case.validate_response(response, headers=one.headers, excluded_checks=excluded)


@schema.parametrize()
@SETTINGS
def test_every_answer_is_as_documented(case: schemathesis.Case, one: Machine) -> None:
    judge(case.call(headers=one.headers), case, one)


def test_calls_that_follow_from_one_another_are_as_documented(one: Machine) -> None:
    class Links(schema.as_state_machine()):  # type: ignore[misc]
        def call(self, case: schemathesis.Case, **kwargs: Any) -> schemathesis.Response:
            return case.call(headers=one.headers)

        def validate_response(self, response: schemathesis.Response, case: schemathesis.Case, **kwargs: Any) -> None:
            judge(response, case, one)

    Links.run(settings=SETTINGS)
