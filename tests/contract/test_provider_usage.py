"""Reported tokens: whole numbers in any form, reasoning, and none."""

from typing import Any

import pytest

from promptforge.ports.provider import Completion, CompletionRequest
from tests.contract.provider_bench import HttpBench
from tests.contract.provider_replies import CHAT, answer
from tests.contract.provider_server import json_reply

QUESTION = CompletionRequest("gpt-x", "canary: why?")


def usage(provider: str, asked: Any, written: Any, thought: Any = None) -> dict[str, Any]:
    if provider == "anthropic":
        details = {"output_tokens_details": {"thinking_tokens": thought}}
        return {"input_tokens": asked, "output_tokens": written, **(details if thought is not None else {})}
    if provider == "gemini":  # its thoughts are no part of the candidates
        plain = written - thought if isinstance(thought, int) else written
        return {"promptTokenCount": asked, "candidatesTokenCount": plain, "thoughtsTokenCount": thought}
    details = {"completion_tokens_details": {"reasoning_tokens": thought}}
    return {"prompt_tokens": asked, "completion_tokens": written, **(details if thought is not None else {})}


async def completion_of(bench: HttpBench, reported: Any) -> Completion:
    field = "usageMetadata" if bench.wire.name == "gemini" else "usage"
    bench.server.reply = json_reply(answer(bench.wire.name, "Because.") | {field: reported})
    completion = await bench.make().complete(QUESTION, 10.0)
    assert isinstance(completion, Completion)
    return completion


@pytest.mark.parametrize(("value", "count"), [(1000, 1000), (1000.0, 1000), ("1000", 1000), ("1000.0", 1000), (0, 0)])
async def test_whole_number_in_any_form_counts(http_bench: HttpBench, value: Any, count: int) -> None:
    completion = await completion_of(http_bench, usage(http_bench.wire.name, value, value))

    assert (completion.input_tokens, completion.output_tokens, completion.has_usage) == (count, count, True)


@pytest.mark.parametrize("value", [None, "many", "", "nan", "inf", "1.5", 1.5, -1, "-1", True, [5], {}, 2**31, 1e300])
async def test_other_value_counts_as_none(http_bench: HttpBench, value: Any) -> None:
    completion = await completion_of(http_bench, usage(http_bench.wire.name, value, value))

    assert (completion.input_tokens, completion.output_tokens, completion.has_usage) == (0, 0, False)


@pytest.mark.parametrize("reported", [None, {}, [], [1], "many", 7, {"unknown": 1}])
async def test_answer_without_usage_says_so(http_bench: HttpBench, reported: Any) -> None:
    completion = await completion_of(http_bench, reported)

    assert (completion.input_tokens, completion.output_tokens, completion.has_usage) == (0, 0, False)


async def test_reasoning_tokens_are_a_part_of_the_output(http_bench: HttpBench) -> None:
    completion = await completion_of(http_bench, usage(http_bench.wire.name, 5, 27, 20))

    assert (completion.output_tokens, completion.reasoning_tokens) == (27, 20)


@pytest.mark.parametrize("http_bench", CHAT, indirect=True)
async def test_reasoning_tokens_over_the_output_are_added(http_bench: HttpBench) -> None:
    completion = await completion_of(http_bench, usage(http_bench.wire.name, 32, 9, 94))

    assert (completion.output_tokens, completion.reasoning_tokens) == (103, 94)


@pytest.mark.parametrize("details", [None, [], "x", {}, {"reasoning_tokens": None}, {"reasoning_tokens": "x"}])
@pytest.mark.parametrize("http_bench", CHAT, indirect=True)
async def test_unusual_details_of_usage_are_ignored(http_bench: HttpBench, details: Any) -> None:
    completion = await completion_of(http_bench, usage("openai", 5, 7) | {"completion_tokens_details": details})

    assert (completion.output_tokens, completion.reasoning_tokens) == (7, 0)
