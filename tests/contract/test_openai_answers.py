import json

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.contract.provider_adapters import OPENAI_ANSWER, OPENAI_KEY, HttpAdapter
from tests.contract.provider_server import ProviderServer, json_reply, raw_reply

REQUEST = CompletionRequest("gpt-x", 'Why is the sky "blue"?\n\u2028\u4e2d\U0001f600')
TIMEOUT_SECONDS = 10.0


def answer_with(**message: object) -> dict[str, object]:
    return {"model": "gpt-x-2024", "choices": [{"finish_reason": "stop", "message": message}]}


async def test_openai_request_is_one_post_with_key_and_prompt(openai: HttpAdapter, server: ProviderServer) -> None:
    await openai.answering().complete(REQUEST, TIMEOUT_SECONDS)

    (request,) = server.received
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["Authorization"] == f"Bearer {OPENAI_KEY}"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {"model": "gpt-x", "messages": [{"role": "user", "content": REQUEST.prompt}]}


async def test_openai_completion_has_model_and_tokens(openai: HttpAdapter) -> None:
    assert await openai.answering().complete(REQUEST, TIMEOUT_SECONDS) == Completion("Because.", "gpt-x-2024", 5, 7)


@pytest.mark.parametrize("text", ["\u2028\x00\n\U0001f600", "\n" * 10_000, " ", '"}\n{"prompt_id": "forged"}'])
async def test_openai_completion_accepts_any_text(openai: HttpAdapter, server: ProviderServer, text: str) -> None:
    server.reply = json_reply(answer_with(content=text))

    answer = await openai.make().complete(REQUEST, TIMEOUT_SECONDS)

    assert answer == Completion(text, "gpt-x-2024", 0, 0, has_usage=False)


@pytest.mark.parametrize(
    "change", [{"usage": None}, {"usage": {}}, {"model": None}, {"unknown": [1]}, {"model": ""}, {"model": 7}]
)
async def test_openai_completion_without_optional_fields_succeeds(
    openai: HttpAdapter, server: ProviderServer, change: dict[str, object]
) -> None:
    server.reply = json_reply(OPENAI_ANSWER | change)

    answer = await openai.make().complete(REQUEST, TIMEOUT_SECONDS)

    assert isinstance(answer, Completion)
    assert answer.text == "Because."
    assert answer.model in ("gpt-x", "gpt-x-2024")


@pytest.mark.parametrize("count", [None, "many", "-5", "1.5", "nan", [5], -1, 1.5, 1e300, True, 2**63])
async def test_openai_invalid_token_counts_are_zero(openai: HttpAdapter, server: ProviderServer, count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 7}
    server.reply = json_reply(answer_with(content="text") | {"usage": usage})

    assert await openai.make().complete(REQUEST, TIMEOUT_SECONDS) == Completion("text", "gpt-x-2024", 0, 7)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"true",
        b"7",
        b'"text"',
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": {}}',
        b'{"choices": "abc"}',
        b'{"choices": [null]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": []}]}',
        b'{"choices": [{"message": "text"}]}',
        b'{"choices": [{"message": {}}]}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": [{"message": {"content": ""}}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": [7]}}]}',
        b'{"choices": [{"message": {"content": [{"type": "text"}]}}]}',
        b'{"choices": [{"message": {"content": [{"type": "text", "text": 7}]}}]}',
        b'{"choices": [{"message": {"content": "text"',
        b'{"choices": [{"message": {"content": "\xff"}}]}',
        b"[" * 50_000,
    ],
)
async def test_openai_malformed_reply_is_a_bad_response(
    openai: HttpAdapter, server: ProviderServer, content: bytes
) -> None:
    server.reply = raw_reply(content, headers={"Content-Type": "text/plain"})

    failure = await openai.make().complete(REQUEST, TIMEOUT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNREADABLE, "provider_bad_response")


@pytest.mark.parametrize("content", [None, ""])
async def test_openai_refusal_is_final_and_its_text_is_dropped(
    openai: HttpAdapter, server: ProviderServer, content: str | None
) -> None:
    server.reply = json_reply(answer_with(content=content, refusal="canary: I cannot help with that."))

    failure = await openai.make().complete(REQUEST, TIMEOUT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.PROMPT, "refused")
    assert "canary" not in repr(failure)


async def test_openai_null_refusal_is_ignored(openai: HttpAdapter, server: ProviderServer) -> None:
    server.reply = json_reply(answer_with(content="text", refusal=None))

    assert isinstance(await openai.make().complete(REQUEST, TIMEOUT_SECONDS), Completion)
