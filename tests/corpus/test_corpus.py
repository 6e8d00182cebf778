"""Run every file of the corpus through the whole product: upload, split, calls and results."""

import json
from pathlib import Path

import pytest

from tests.corpus import duplicates, encodings, fields, ids, line_ends, other_formats, sizes, syntax
from tests.corpus.case import Case
from tests.corpus.flow import Outcome, outcome, run_all
from tests.harness.in_process import in_process_stack
from tests.harness.lines import Line

GROUPS = {
    "line ends": line_ends.CASES,
    "encodings": encodings.CASES,
    "syntax": syntax.CASES,
    "fields": fields.CASES,
    "ids": ids.CASES,
    "duplicates": duplicates.CASES,
    "sizes": sizes.CASES,
    "other formats": other_formats.CASES,
}
CASES = {f"{group}: {case.name}": case for group, cases in GROUPS.items() for case in cases}
RESULT_FIELDS = {
    *("prompt_id", "result", "model", "tokens_used"),
    *("finish_reason", "usage", "attempts", "latency_ms", "request_id"),
}


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return the outcomes of the files whose tests are selected; one run for all of them is faster."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    names = [str(test.callspec.params["name"]) for test in tests if "outcomes" in test.fixturenames]
    return run_all(tmp_path_factory.mktemp("corpus"), {name: CASES[name].content for name in names})


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in CASES])
def test_corpus_file_has_documented_outcome(outcomes: dict[str, Outcome], name: str) -> None:
    check(outcomes[name], CASES[name])


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in sizes.LIMITED])
async def test_corpus_file_at_configured_limit_has_documented_outcome(tmp_path: Path, case: Case) -> None:
    async with in_process_stack(tmp_path, None, **case.settings) as one:
        check(await outcome(one, await one.submit(case.content)), case)


def test_corpus_is_large_and_names_are_unique() -> None:
    assert len(CASES) == sum(len(cases) for cases in GROUPS.values())
    assert len({case.name for case in sizes.LIMITED}) == len(sizes.LIMITED)
    assert len(CASES) + len(sizes.LIMITED) >= 150


def check(actual: Outcome, case: Case) -> None:
    """Check everything that a client sees."""
    check_status(actual.status, case)
    assert (actual.files is not None) == case.has_files
    if actual.files is None:
        return
    expected = ["results_part_001.jsonl", "errors.jsonl"] if case.answered else ["errors.jsonl"]
    assert list(actual.files) == expected
    *results, errors = (parse_jsonl(actual.files[name]) for name in expected)
    check_results([line for part in results for line in part], case)
    check_errors(errors, case)


def check_status(status: Line, case: Case) -> None:
    """Check the status, its error and the counts."""
    error = status["error"]["code"] if status["error"] else None
    assert (status["status"], error) == ("FAILED" if case.job_error else "COMPLETED", case.job_error)
    assert (status["prompt_count"], status["completed_count"]) == (case.prompt_count, len(case.answered))
    assert status["prompt_count"] == status["completed_count"] + status["failed_count"]
    assert status["error"] is None or status["error"]["message"].endswith(".")


def check_results(results: list[Line], case: Case) -> None:
    """Check that the answers are in input order, with unchanged ids and texts."""
    assert [(line["prompt_id"], line["result"]) for line in results] == list(case.answered)
    for line in results:
        assert set(line) == RESULT_FIELDS
        assert line["model"] == case.models.get(line["prompt_id"], "echo-1")
        assert (line["finish_reason"], line["attempts"]) == ("stop", 1)
        assert sum(line["usage"].values()) == line["tokens_used"]


def check_errors(errors: list[Line], case: Case) -> None:
    """Check that the invalid lines are in input order, each with a short sentence."""
    assert [(line["line"], line["error"], line["prompt_id"]) for line in errors] == list(case.errors)
    for line in errors:
        assert set(line) == {"prompt_id", "error", "message", "attempts", "line"}
        assert line["attempts"] == 0
        assert line["message"].endswith(".")
        assert len(line["message"]) < 200
        assert case.words.get(line["line"], "") in line["message"]


def parse_jsonl(content: bytes) -> list[Line]:
    """Parse JSONL with another parser than the product's, and check that each line is one object."""
    assert not content or content.endswith(b"\n")
    rows: list[Line] = [json.loads(raw) for raw in content.split(b"\n")[:-1]]
    assert all(type(row) is dict for row in rows)
    return rows
