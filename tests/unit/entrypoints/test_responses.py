"""The status of each error code."""

import ast
from pathlib import Path

import pytest

import promptforge
from promptforge.entrypoints.responses import ERROR_CODES, STATUS_BY_CODE, failure_response, problem_response
from promptforge.entrypoints.routes import ROUTES, Route
from promptforge.errors import RequestError, Unavailable

SOURCES = sorted(Path(promptforge.__file__).parent.rglob("*.py"))


def codes_in(source: Path) -> set[str]:
    """Return the code of every RequestError that a source creates."""
    calls = (node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call))
    created = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id == RequestError.__name__)
    return {str(ast.literal_eval(call.args[0])) for call in created}


def test_error_codes_of_the_sources_equal_codes_with_a_status() -> None:
    assert set().union(*map(codes_in, SOURCES)) == set(STATUS_BY_CODE)


def test_error_codes_have_one_status_each() -> None:
    assert len(STATUS_BY_CODE) == sum(map(len, ERROR_CODES.values()))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_route_errors_have_a_status_and_no_duplicates(route: Route) -> None:
    assert set(route.errors) <= set(STATUS_BY_CODE)
    assert len(route.errors) == len(set(route.errors))


def test_problem_response_has_status_of_code_and_retry_after() -> None:
    response = problem_response(RequestError("rate_limited", "Wait.", retry_after=7))

    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.body == b'{"type":"about:blank","status":429,"code":"rate_limited","detail":"Wait."}'


def test_problem_response_with_given_status_overrides_status_of_code() -> None:
    assert problem_response(RequestError("bad_range", "Invalid range."), 400).status_code == 400


def test_failure_response_to_unavailable_logs_the_dependency(caplog: pytest.LogCaptureFixture) -> None:
    response = failure_response("request_failed", Unavailable("firestore", "DEADLINE_EXCEEDED"), function="init")

    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    (record,) = caplog.records
    fields = record.fields  # type: ignore[attr-defined]
    assert (fields["error"], fields["dependency"]) == ("Unavailable", "firestore")
    assert "DEADLINE_EXCEEDED" not in str(fields)
