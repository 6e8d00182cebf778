"""Replies in unusual forms that the official SDKs read: parts, encodings, numbers, headers."""

import asyncio
import json
from typing import Any

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.contract.provider_adapters import HttpAdapter
from tests.contract.provider_replies import CHAT, LENGTH, answer
from tests.contract.provider_server import ProviderServer, json_reply, raw_reply
from tests.contract.raw_server import raw_server, response

REQUEST = CompletionRequest("gpt-x", "canary: why?")
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
REQUEST_ID_HEADERS = {"openai": "x-request-id", "mistral": "mistral-correlation-id", "anthropic": "request-id"}
chat_only = pytest.mark.parametrize("http_adapter", CHAT, indirect=True)


async def outcome(adapter: HttpAdapter, body: Any, status: int = 200) -> Completion | CallFailure:
    adapter.server.reply = raw_reply(body, status) if isinstance(body, bytes) else json_reply(body, status)
    return await adapter.make().complete(REQUEST, 10.0)


async def text_of(adapter: HttpAdapter, body: Any, status: int = 200) -> str:
    completion = await outcome(adapter, body, status)
    assert isinstance(completion, Completion), completion
    return completion.text


@chat_only
@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Pa"}, {"type": "text", "text": "ris"}],
        [REASONING, {"type": "text", "text": "Paris"}],
        [THOUGHT, {"type": "text", "text": "Paris"}],
        [{"type": "output_text", "text": "Paris", "annotations": []}],
        [{"text": "Paris"}],
        ["Pa", "ris"],
        {"type": "text", "text": "Paris"},
        [{"type": "text", "text": {"value": "Paris"}}],
        [{"type": "image_url", "image_url": "x"}, {"type": "text", "text": "Paris"}],
    ],
)
async def test_chat_content_in_parts_is_joined_without_thoughts(http_adapter: HttpAdapter, content: Any) -> None:
    assert await text_of(http_adapter, answer(http_adapter.api.name, content)) == "Paris"


@chat_only
@pytest.mark.parametrize("content", [None, "", [], [THOUGHT], "absent"])
@pytest.mark.parametrize(
    ("reason", "more", "code"),
    [
        ("tool_calls", {"tool_calls": [{"id": "1"}]}, "tool_call"),
        ("stop", {"tool_calls": [{"id": "1"}]}, "tool_call"),
        ("stop", {"function_call": {"name": "f"}}, "tool_call"),
        ("length", {"reasoning": "It is"}, "empty_answer"),
        ("length", {"tool_calls": []}, "empty_answer"),
        ("stop", {}, "provider_bad_response"),
    ],
)
async def test_chat_answer_without_content_has_the_failure_of_its_reason(
    http_adapter: HttpAdapter, content: Any, reason: str, more: dict[str, Any], code: str
) -> None:
    body = answer(http_adapter.api.name, content, reason)
    body["choices"][0]["message"] |= more
    if content == "absent":
        del body["choices"][0]["message"]["content"]

    failure = await outcome(http_adapter, body)

    assert isinstance(failure, CallFailure)
    assert failure.code == code


@chat_only
async def test_chat_last_of_several_messages_is_the_answer(http_adapter: HttpAdapter) -> None:
    body = answer(http_adapter.api.name, "")
    messages = [{"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "x"}, {"content": "Paris"}]
    body["choices"][0] = {"finish_reason": "stop", "messages": messages}

    assert await text_of(http_adapter, body) == "Paris"


@pytest.mark.parametrize("http_adapter", ["anthropic"], indirect=True)
@pytest.mark.parametrize("content", [None, [], "absent"])
@pytest.mark.parametrize(("reason", "code"), [("max_tokens", "empty_answer"), ("tool_use", "tool_call")])
async def test_anthropic_answer_without_content_has_the_failure_of_its_reason(
    http_adapter: HttpAdapter, content: Any, reason: str, code: str
) -> None:
    body = answer("anthropic", content, reason)
    if content == "absent":
        del body["content"]

    failure = await outcome(http_adapter, body)

    assert isinstance(failure, CallFailure)
    assert failure.code == code


@pytest.mark.parametrize("http_adapter", ["anthropic"], indirect=True)
async def test_anthropic_tool_use_without_text_is_a_tool_call(http_adapter: HttpAdapter) -> None:
    failure = await outcome(http_adapter, answer("anthropic", [{"type": "tool_use", "name": "f"}]))

    assert isinstance(failure, CallFailure)
    assert failure.code == "tool_call"


@pytest.mark.parametrize("status", [201, 202, 203, 206, 299])
async def test_other_status_of_success_is_an_answer(http_adapter: HttpAdapter, status: int) -> None:
    assert await text_of(http_adapter, http_adapter.api.answer, status) == "Because."


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
async def test_reply_in_another_encoding_is_read(http_adapter: HttpAdapter, encoding: str) -> None:
    text = json.dumps(answer(http_adapter.api.name, "\u4e2d\U0001f600"), ensure_ascii=False)

    assert await text_of(http_adapter, text.encode(encoding)) == "\u4e2d\U0001f600"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_reply_with_a_number_outside_json_is_read(http_adapter: HttpAdapter, number: str) -> None:
    body = json.dumps(http_adapter.api.answer | {"score": 7}).replace("7}", number + "}")
    assert number in body

    assert await text_of(http_adapter, body.encode()) == "Because."


@pytest.mark.parametrize(
    ("escaped", "read"),
    [
        (r"a\ud83d", "a\ufffd"),
        (r"\ud83da", "\ufffda"),
        (r"\ude00a\u4e2d", "\ufffda\u4e2d"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    ],
)
async def test_half_of_a_surrogate_pair_is_replaced(http_adapter: HttpAdapter, escaped: str, read: str) -> None:
    body = json.dumps(answer(http_adapter.api.name, "TEXT")).replace("TEXT", escaped)

    text = await text_of(http_adapter, body.encode())

    assert text == read
    assert text.encode()


async def test_reply_in_invalid_utf8_is_unreadable(http_adapter: HttpAdapter) -> None:
    body = json.dumps(answer(http_adapter.api.name, "TEXT")).encode().replace(b"TEXT", b"\xff")

    failure = await outcome(http_adapter, body)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNREADABLE, "provider_bad_response")


async def test_large_and_many_headers_are_read(http_adapter: HttpAdapter, server: ProviderServer) -> None:
    headers = {"X-Large": "x" * 60_000} | {f"X-Number-{number}": "x" for number in range(300)}
    server.reply = json_reply(http_adapter.api.answer, headers=headers)

    assert isinstance(await http_adapter.make().complete(REQUEST, 10.0), Completion)


@pytest.mark.parametrize("http_adapter", sorted(REQUEST_ID_HEADERS), indirect=True)
@pytest.mark.parametrize("value", [b"\xff", b"a\tb", b"\xc2\x85", b"\xe2\x80\xa8", b""])
async def test_unclean_request_id_is_left_out(http_adapter: HttpAdapter, value: bytes) -> None:
    header = REQUEST_ID_HEADERS[http_adapter.api.name].encode() + b": " + value
    body = json.dumps(http_adapter.api.answer).encode()

    async def reply(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(response(body, header))

    async with raw_server(reply) as raw:
        completion = await http_adapter.make(raw.url + http_adapter.api.base).complete(REQUEST, 10.0)

    assert isinstance(completion, Completion)
    assert completion.request_id is None


@pytest.mark.parametrize("model", ["a\nb", "", 7, None, "a\u2028b"])
async def test_unclean_model_is_replaced_by_the_requested_one(http_adapter: HttpAdapter, model: Any) -> None:
    completion = await outcome(http_adapter, http_adapter.api.answer | {"model": model, "modelVersion": model})

    assert isinstance(completion, Completion)
    assert completion.model == "gpt-x"


@pytest.mark.parametrize("limit", ["reported", "not reported"])
async def test_thoughts_up_to_the_limit_are_a_reason_for_a_larger_one(http_adapter: HttpAdapter, limit: str) -> None:
    name = http_adapter.api.name
    usage: dict[str, dict[str, Any]] = {
        "openai": {"completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 7}},
        "mistral": {"completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 7}},
        "anthropic": {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 7}},
        "gemini": {"thoughtsTokenCount": 7},
    }
    content = [] if name in ("anthropic", "gemini") else ""
    http_adapter.server.reply = json_reply(
        answer(name, content, LENGTH[name], usage[name] if limit == "reported" else {})
    )
    params = REQUEST.params.with_max_tokens(7)

    failure = await http_adapter.make().complete(CompletionRequest("gpt-x", "why?", params=params), 10.0)

    assert isinstance(failure, CallFailure)
    assert failure.code == "empty_answer"
    assert failure.larger_limit_helps is (limit == "reported")
