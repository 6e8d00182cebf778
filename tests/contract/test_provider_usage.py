"""Reported tokens: whole numbers in any form, reasoning, and none."""

from typing import Any

import pytest

from promptforge.ports.provider import Completion, CompletionRequest
from tests.contract.provider_adapters import HttpAdapter
from tests.contract.provider_replies import CHAT, answer
from tests.contract.provider_server import json_reply

REQUEST = CompletionRequest("gpt-x", "canary: why?")


def usage(provider: str, asked: Any, written: Any, thought: Any = None) -> dict[str, Any]:
    if provider == "anthropic":
        details = {"output_tokens_details": {"thinking_tokens": thought}}
        return {"input_tokens": asked, "output_tokens": written, **(details if thought is not None else {})}
    if provider == "gemini":  # its thoughts are no part of the candidates
        plain = written - thought if isinstance(thought, int) else written
        return {"promptTokenCount": asked, "candidatesTokenCount": plain, "thoughtsTokenCount": thought}
    details = {"completion_tokens_details": {"reasoning_tokens": thought}}
    return {"prompt_tokens": asked, "completion_tokens": written, **(details if thought is not None else {})}


async def completion_of(adapter: HttpAdapter, reported: Any) -> Completion:
    field = "usageMetadata" if adapter.api.name == "gemini" else "usage"
    adapter.server.reply = json_reply(answer(adapter.api.name, "Because.") | {field: reported})
    completion = await adapter.make().complete(REQUEST, 10.0)
    assert isinstance(completion, Completion)
    return completion


@pytest.mark.parametrize(("value", "count"), [(1000, 1000), (1000.0, 1000), ("1000", 1000), ("1000.0", 1000), (0, 0)])
async def test_whole_number_in_any_form_counts(http_adapter: HttpAdapter, value: Any, count: int) -> None:
    completion = await completion_of(http_adapter, usage(http_adapter.api.name, value, value))

    assert (completion.input_tokens, completion.output_tokens, completion.has_usage) == (count, count, True)


@pytest.mark.parametrize("value", [None, "many", "", "nan", "inf", "1.5", 1.5, -1, "-1", True, [5], {}, 2**31, 1e300])
async def test_other_value_counts_as_none(http_adapter: HttpAdapter, value: Any) -> None:
    completion = await completion_of(http_adapter, usage(http_adapter.api.name, value, value))

    assert (completion.input_tokens, completion.output_tokens, completion.has_usage) == (0, 0, False)


@pytest.mark.parametrize("reported", [None, {}, [], [1], "many", 7, {"unknown": 1}])
async def test_answer_without_usage_says_so(http_adapter: HttpAdapter, reported: Any) -> None:
    completion = await completion_of(http_adapter, reported)

    assert (completion.input_tokens, completion.output_tokens, completion.has_usage) == (0, 0, False)


async def test_reasoning_tokens_are_a_part_of_the_output(http_adapter: HttpAdapter) -> None:
    completion = await completion_of(http_adapter, usage(http_adapter.api.name, 5, 27, 20))

    assert (completion.output_tokens, completion.reasoning_tokens) == (27, 20)


@pytest.mark.parametrize("http_adapter", CHAT, indirect=True)
async def test_reasoning_tokens_over_the_output_are_added(http_adapter: HttpAdapter) -> None:
    completion = await completion_of(http_adapter, usage(http_adapter.api.name, 32, 9, 94))

    assert (completion.output_tokens, completion.reasoning_tokens) == (103, 94)


@pytest.mark.parametrize("details", [None, [], "x", {}, {"reasoning_tokens": None}, {"reasoning_tokens": "x"}])
@pytest.mark.parametrize("http_adapter", CHAT, indirect=True)
async def test_unusual_details_of_usage_are_ignored(http_adapter: HttpAdapter, details: Any) -> None:
    completion = await completion_of(http_adapter, usage("openai", 5, 7) | {"completion_tokens_details": details})

    assert (completion.output_tokens, completion.reasoning_tokens) == (7, 0)
