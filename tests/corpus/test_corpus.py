"""Every file of the corpus through the real flow: upload, split, work, results."""

import json
from pathlib import Path

import pytest

from tests.corpus import encodings, ends, fields, foreign, ids, repeats, sizes, syntax
from tests.corpus.case import Case
from tests.corpus.flow import Outcome, outcome, run_all
from tests.support.machine import Line, machine

BOOKS = {
    "ends": ends.CASES,
    "encodings": encodings.CASES,
    "syntax": syntax.CASES,
    "fields": fields.CASES,
    "ids": ids.CASES,
    "repeats": repeats.CASES,
    "sizes": sizes.CASES,
    "foreign": foreign.CASES,
}
CASES = {f"{book}: {case.name}": case for book, cases in BOOKS.items() for case in cases}
RESULT_FIELDS = {
    *("prompt_id", "result", "model", "tokens_used"),
    *("finish_reason", "usage", "attempts", "latency_ms", "request_id"),
}


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The outcomes of all files whose tests are about to run: together they are quicker."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    names = [str(test.callspec.params["name"]) for test in tests if "outcomes" in test.fixturenames]
    return run_all(tmp_path_factory.mktemp("corpus"), {name: CASES[name].content for name in names})


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in CASES])
def test_a_file_has_the_outcome_that_the_readme_promises(outcomes: dict[str, Outcome], name: str) -> None:
    check(outcomes[name], CASES[name])


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in sizes.LIMITED])
async def test_a_limit_of_the_operator_is_kept_to_the_byte_and_the_line(tmp_path: Path, case: Case) -> None:
    async with machine(tmp_path, None, **case.settings) as one:
        check(await outcome(one, await one.submit(case.content)), case)


def test_the_corpus_is_large_and_every_file_has_a_name_of_its_own() -> None:
    assert len(CASES) == sum(len(cases) for cases in BOOKS.values())
    assert len({case.name for case in sizes.LIMITED}) == len(sizes.LIMITED)
    assert len(CASES) + len(sizes.LIMITED) >= 150


def check(seen: Outcome, case: Case) -> None:
    """Compare everything that a client can see."""
    check_status(seen.status, case)
    assert (seen.files is not None) == case.has_files
    if seen.files is None:
        return
    expected = ["results_part_001.jsonl", "errors.jsonl"] if case.answered else ["errors.jsonl"]
    assert list(seen.files) == expected
    *results, errors = (one_a_line(seen.files[name]) for name in expected)
    check_results([line for part in results for line in part], case)
    check_errors(errors, case)


def check_status(status: Line, case: Case) -> None:
    """The status, its error, and the accounting."""
    error = status["error"]["code"] if status["error"] else None
    assert (status["status"], error) == ("FAILED" if case.job_error else "COMPLETED", case.job_error)
    assert (status["prompt_count"], status["completed_count"]) == (case.prompt_count, len(case.answered))
    assert status["prompt_count"] == status["completed_count"] + status["failed_count"]
    assert status["error"] is None or status["error"]["message"].endswith(".")


def check_results(results: list[Line], case: Case) -> None:
    """Every answer in the order of the input, id and text unchanged."""
    assert [(line["prompt_id"], line["result"]) for line in results] == list(case.answered)
    for line in results:
        assert set(line) == RESULT_FIELDS
        assert line["model"] == case.models.get(line["prompt_id"], "echo-1")
        assert (line["finish_reason"], line["attempts"]) == ("stop", 1)
        assert sum(line["usage"].values()) == line["tokens_used"]


def check_errors(errors: list[Line], case: Case) -> None:
    """Every bad line in the order of the input, with a short sentence."""
    assert [(line["line"], line["error"], line["prompt_id"]) for line in errors] == list(case.errors)
    for line in errors:
        assert set(line) == {"prompt_id", "error", "message", "attempts", "line"}
        assert line["attempts"] == 0
        assert line["message"].endswith(".")
        assert len(line["message"]) < 200
        assert case.said.get(line["line"], "") in line["message"]


def one_a_line(content: bytes) -> list[Line]:
    """A JSONL text, read by another parser than the one that wrote it: each line, and nothing else, is an object."""
    assert not content or content.endswith(b"\n")
    rows: list[Line] = [json.loads(raw) for raw in content.split(b"\n")[:-1]]
    assert all(type(row) is dict for row in rows)
    return rows
