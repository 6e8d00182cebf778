"""The adapter sends the same request as the official SDK."""

from typing import Any

import orjson
import pytest

from promptforge.domain.formats.params import PARAMS, ChatMessage, Params, ResponseFormat, unsupported_parameter
from promptforge.ports.provider import Completion, CompletionRequest
from tests.conformance.conftest import Pair
from tests.conformance.sdks import SDKS
from tests.contract.provider_server import Received

on_one_loop = pytest.mark.asyncio(loop_scope="session")

HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "content-type", "x-server-timeout")
"""The headers that a provider interprets. The others describe the client and its build."""

SCHEMA = {
    "type": "object",
    "properties": {"why": {"type": "string"}},
    "required": ["why"],
    "additionalProperties": False,
}
TURNS = (
    ChatMessage(role="user", content="Why?"),
    ChatMessage(role="assistant", content="Because."),
    ChatMessage(role="user", content="Because of case?"),
)
WITH_SYSTEM = (ChatMessage(role="system", content="Be brief."), *TURNS, ChatMessage(role="system", content="Briefer."))
AS_OBJECT = ResponseFormat(type="json_object")
BY_SCHEMA = ResponseFormat.model_validate({"type": "json_schema", "schema": SCHEMA})
EVERYTHING = Params(
    system="s", max_tokens=7, temperature=0.3, top_p=0.9, stop=["END", "."], seed=5, response_format=BY_SCHEMA
)

REQUESTS: dict[str, CompletionRequest] = {
    "plain": CompletionRequest("model-1", "Why is the sky blue?"),
    "odd characters": CompletionRequest("model-1", 'a "b"\n\t\u2028\u4e2d\U0001f600\x00 \\'),
    "system": CompletionRequest("model-1", "Why?", params=Params(system="Be brief.")),
    "conversation": CompletionRequest("model-1", "", TURNS),
    "system turns": CompletionRequest("model-1", "", WITH_SYSTEM),
    "system turns and a system": CompletionRequest("model-1", "", WITH_SYSTEM, Params(system="Be kind.")),
    "max_tokens": CompletionRequest("model-1", "Why?", params=Params(max_tokens=7)),
    "temperature": CompletionRequest("model-1", "Why?", params=Params(temperature=0.3)),
    "temperature of nothing": CompletionRequest("model-1", "Why?", params=Params(temperature=0.0)),
    "top_p": CompletionRequest("model-1", "Why?", params=Params(top_p=0.5)),
    "stop": CompletionRequest("model-1", "Why?", params=Params(stop=["END"])),
    "stops": CompletionRequest("model-1", "Why?", params=Params(stop=["END", "."])),
    "seed": CompletionRequest("model-1", "Why?", params=Params(seed=5)),
    "seed of nothing": CompletionRequest("model-1", "Why?", params=Params(seed=0)),
    "any object": CompletionRequest("model-1", "Why?", params=Params(response_format=AS_OBJECT)),
    "a schema": CompletionRequest("model-1", "Why?", params=Params(response_format=BY_SCHEMA)),
    "everything": CompletionRequest("model-1", "", TURNS, EVERYTHING),
    "everything but a seed": CompletionRequest("model-1", "", TURNS, EVERYTHING.model_copy(update={"seed": None})),
    "metadata": CompletionRequest("model-1", "Why?", params=Params(metadata={"mine": 1})),
}
EXTRAS: dict[str, dict[str, Any]] = {
    "openai": {"presence_penalty": 0.5, "logit_bias": {"1": 2}},
    "compatible": {"presence_penalty": 0.5},
    "anthropic": {"metadata": {"user_id": "u"}, "service_tier": "auto"},
    "gemini": {"generationConfig": {"candidateCount": 2}},
    "mistral": {"safe_prompt": True},
}
"""`extra`, and for the SDKs arguments of the same names."""

CASES = [
    pytest.param(name, request, id=f"{name}: {case}")
    for name in SDKS
    for case, request in {
        **REQUESTS,
        "extra": CompletionRequest("model-1", "Why?", params=Params(extra=EXTRAS[name])),
    }.items()
    if not unsupported_parameter("openai" if name == "compatible" else name, request.params)
]


def without_defaults(value: Any) -> Any:
    """Return a body without fields that have no effect.

    These are null fields, empty objects, and the two defaults that the Mistral SDK sends (`stream` and a
    message's `prefix`, both false).
    """
    if isinstance(value, list):
        return [without_defaults(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {
        name: without_defaults(one)
        for name, one in value.items()
        if name not in ("stream", "prefix") or one is not False
    }
    return {name: one for name, one in kept.items() if one is not None and one != {}}


def compared_parts(request: Received) -> dict[str, Any]:
    """Return the compared parts of a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {
        "line": (request.method, request.path),
        "headers": {name: headers[name] for name in HEADERS if name in headers},
        "body": without_defaults(orjson.loads(request.body)),
    }


@on_one_loop
@pytest.mark.parametrize(("pair", "sent"), CASES, indirect=["pair"])
async def test_request_equals_request_of_sdk(pair: Pair, sent: CompletionRequest) -> None:
    sdk_completion, completion = await pair.sdk_outcome(sent), await pair.adapter_outcome(sent)

    by_sdk, by_adapter = pair.server.received
    assert compared_parts(by_adapter) == compared_parts(by_sdk)
    assert isinstance(completion, Completion)
    received = (completion.text, completion.model, completion.input_tokens, completion.output_tokens)
    assert received == sdk_completion


def test_requests_cover_every_parameter() -> None:
    assert {name for case in CASES for name in case.values[1].params.set_fields} == set(PARAMS)  # type: ignore[union-attr]


def test_unsupported_parameters_are_those_without_a_field_in_the_sdk() -> None:
    unsupported = {
        (name, case)
        for name in SDKS
        for case, request in REQUESTS.items()
        if unsupported_parameter(name, request.params)
    }

    assert unsupported == {("anthropic", case) for case in ("seed", "seed of nothing", "any object", "everything")}


GEMINI_MODELS = ["model-1", "models/model-1", "tunedModels/mine-1", "gemini-2.5-flash-preview-05-20"]


@on_one_loop
@pytest.mark.parametrize("pair", ["gemini"], indirect=True)
@pytest.mark.parametrize("model", GEMINI_MODELS)
async def test_model_path_equals_path_of_sdk(pair: Pair, model: str) -> None:
    await pair.sdk_outcome(CompletionRequest(model, "Why?"))
    await pair.adapter_outcome(CompletionRequest(model, "Why?"))

    by_sdk, by_adapter = pair.server.received
    assert by_adapter.path == by_sdk.path
