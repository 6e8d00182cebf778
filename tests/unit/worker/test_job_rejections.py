"""The rejections of a job: how many alike ones seem to hit every prompt."""

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, ProviderError
from promptforge.worker.job_rejections import ALIKE_REJECTIONS, MODEL_REJECTIONS, JobRejections


def rejection(code: str = "prompt_rejected", name: str | None = None, param: str | None = None) -> CallFailure:
    error = ProviderError(400, name, param=param)
    return CallFailure(FailureKind.PROMPT, code, "Rejected.", error=error)


@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (rejection(), ALIKE_REJECTIONS),
        (CallFailure(FailureKind.PROMPT, "prompt_rejected", "Rejected."), ALIKE_REJECTIONS),
        (rejection("model_not_found"), MODEL_REJECTIONS),
    ],
)
def test_job_rejections_enough_alike_lines_hit_every_prompt(failure: CallFailure, lines: int) -> None:
    rejections = JobRejections()

    assert [rejections.add(line, failure) for line in range(lines)] == [False] * (lines - 1) + [True]


def test_job_rejections_repeated_line_counts_once() -> None:
    rejections = JobRejections()

    assert not any(rejections.add(1, rejection()) for _ in range(2 * ALIKE_REJECTIONS))


@pytest.mark.parametrize("field", ["code", "name", "param"])
def test_job_rejections_different_identifiers_are_not_alike(field: str) -> None:
    rejections = JobRejections()

    assert not any(
        rejections.add(line, rejection(**{field: f"{field}-{line % 2}"})) for line in range(2 * ALIKE_REJECTIONS - 2)
    )


@pytest.mark.parametrize("rejected_before", [0, ALIKE_REJECTIONS - 1])
def test_job_rejections_with_an_answer_never_hit_every_prompt(rejected_before: int) -> None:
    rejections = JobRejections()
    for line in range(rejected_before):
        rejections.add(line, rejection())
    rejections.answered()

    assert not any(rejections.add(line, rejection()) for line in range(2 * ALIKE_REJECTIONS))
