"""What the official SDK sends for a question is what we send for it."""

from typing import Any

import orjson
import pytest

from promptforge.domain.formats.params import PARAMS, ChatMessage, Params, ResponseFormat, unsupported_parameter
from promptforge.ports.provider import Completion, CompletionRequest
from tests.conformance.conftest import Pair
from tests.conformance.sdks import SDKS
from tests.contract.provider_server import Received

on_one_loop = pytest.mark.asyncio(loop_scope="session")

HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "content-type")
"""What a provider acts upon. The rest tells it which client is calling, and how that was built."""

SCHEMA = {
    "type": "object",
    "properties": {"why": {"type": "string"}},
    "required": ["why"],
    "additionalProperties": False,
}
TURNS = (
    ChatMessage(role="user", content="Why?"),
    ChatMessage(role="assistant", content="Because."),
    ChatMessage(role="user", content="Because of what?"),
)
WITH_SYSTEM = (ChatMessage(role="system", content="Be brief."), *TURNS, ChatMessage(role="system", content="Briefer."))
AS_OBJECT = ResponseFormat(type="json_object")
BY_SCHEMA = ResponseFormat.model_validate({"type": "json_schema", "schema": SCHEMA})
EVERYTHING = Params(
    system="s", max_tokens=7, temperature=0.3, top_p=0.9, stop=["END", "."], seed=5, response_format=BY_SCHEMA
)

QUESTIONS: dict[str, CompletionRequest] = {
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
    pytest.param(name, question, id=f"{name}: {what}")
    for name in SDKS
    for what, question in {
        **QUESTIONS,
        "extra": CompletionRequest("model-1", "Why?", params=Params(extra=EXTRAS[name])),
    }.items()
    if not unsupported_parameter("openai" if name == "compatible" else name, question.params)
]


def meant(value: Any) -> Any:
    """A body without what says nothing: a field that is null, an object that is empty, and the two defaults that the
    Mistral SDK writes out (`stream` and a message's `prefix`, both false)."""
    if isinstance(value, list):
        return [meant(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {name: meant(one) for name, one in value.items() if name not in ("stream", "prefix") or one is not False}
    return {name: one for name, one in kept.items() if one is not None and one != {}}


def relevant(request: Received) -> dict[str, Any]:
    """What is compared of a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {
        "line": (request.method, request.path),
        "headers": {name: headers[name] for name in HEADERS if name in headers},
        "body": meant(orjson.loads(request.body)),
    }


@on_one_loop
@pytest.mark.parametrize(("pair", "question"), CASES, indirect=["pair"])
async def test_the_sdk_and_we_send_the_same(pair: Pair, question: CompletionRequest) -> None:
    read, answer = await pair.theirs(question), await pair.ours(question)

    theirs, ours = pair.server.received
    assert relevant(ours) == relevant(theirs)
    assert isinstance(answer, Completion)
    assert (answer.text, answer.model, answer.input_tokens, answer.output_tokens) == read


def test_every_parameter_is_among_the_cases() -> None:
    assert {name for case in CASES for name in case.values[1].params.set_fields} == set(PARAMS)  # type: ignore[union-attr]


def test_what_is_refused_before_it_is_sent_is_what_the_providers_have_no_place_for() -> None:
    refused = {
        (name, what)
        for name in SDKS
        for what, question in QUESTIONS.items()
        if unsupported_parameter(name, question.params)
    }

    assert refused == {("anthropic", what) for what in ("seed", "seed of nothing", "any object", "everything")}


GEMINI_MODELS = ["model-1", "models/model-1", "tunedModels/mine-1", "gemini-2.5-flash-preview-05-20"]


@on_one_loop
@pytest.mark.parametrize("pair", ["gemini"], indirect=True)
@pytest.mark.parametrize("model", GEMINI_MODELS)
async def test_the_sdk_and_we_find_the_same_place_for_a_model(pair: Pair, model: str) -> None:
    await pair.theirs(CompletionRequest(model, "Why?"))
    await pair.ours(CompletionRequest(model, "Why?"))

    theirs, ours = pair.server.received
    assert ours.path == theirs.path
