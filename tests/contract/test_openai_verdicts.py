"""OpenAI answers that are easily taken for something else."""

from typing import Any

import pytest

from promptforge.adapters.llm.openai import _answer, _failure
from promptforge.adapters.llm.transport import HttpReply
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import Answer, Failure, Question

QUESTION = Question("m", "p")


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [fields]}


@pytest.mark.parametrize("content", ["", None])
def test_an_answer_withheld_by_the_filter_is_the_prompts_fault_and_not_asked_again(content: str | None) -> None:
    verdict = _answer(choice(finish_reason="content_filter", message={"content": content}), QUESTION)

    assert isinstance(verdict, Failure)
    assert (verdict.kind, verdict.code) == (FailureKind.PROMPT, "filtered")


@pytest.mark.parametrize("refusal", ["", None])
def test_an_empty_refusal_is_none(refusal: str | None) -> None:
    assert isinstance(_answer(choice(message={"content": "text", "refusal": refusal}), QUESTION), Answer)


@pytest.mark.parametrize("error", [{"code": "other", "type": "insufficient_quota"}, {"code": "insufficient_quota"}])
def test_an_empty_account_is_seen_in_code_and_in_type(error: dict[str, str]) -> None:
    assert _failure(HttpReply(429, {}, {"error": error})).kind is FailureKind.ACCOUNT


@pytest.mark.parametrize(
    ("status", "headers", "error", "kind"),
    [
        (503, {}, {}, FailureKind.UNKNOWN),
        (503, {"retry-after": "3"}, {}, FailureKind.THROTTLED),
        (503, {}, {"code": "slow_down"}, FailureKind.THROTTLED),
    ],
)
def test_a_server_that_is_down_is_not_one_that_asks_to_wait(
    status: int, headers: dict[str, str], error: dict[str, str], kind: FailureKind
) -> None:
    assert _failure(HttpReply(status, headers, {"error": error})).kind is kind
