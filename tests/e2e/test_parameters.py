"""Parameters besides the prompt, from the request through the provider to the result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from promptforge.client.verify import verify
from promptforge.settings import PROVIDER_KEYS
from tests.fakes.provider import FakeProvider, Script, answer_all, serve_provider
from tests.fakes.provider_formats import FORMATS, AnthropicFormat, OpenAIFormat
from tests.harness.finished_job import download_finished_job
from tests.harness.in_process import InProcessStack, in_process_stack

SHAPE = {"type": "object", "properties": {"N": {"type": "integer"}}, "required": ["N"]}
Body = dict[str, Any]


class RecordingFormat(OpenAIFormat):
    """A provider format that records the bodies of the requests."""

    def __init__(self) -> None:
        self.bodies: list[Body] = []

    def parse_request(self, request: web.Request, body: bytes) -> tuple[str, str]:
        self.bodies.append(orjson.loads(body))
        return super().parse_request(request, body)


@asynccontextmanager
async def recorded(
    folder: Path, act: Script = answer_all, **settings: Any
) -> AsyncIterator[tuple[InProcessStack, RecordingFormat]]:
    wire = RecordingFormat()
    async with serve_provider(FakeProvider(wire, act)) as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(folder, **keys, **settings) as one:
            yield one, wire


def rows(*lines: Body) -> bytes:
    return b"".join(orjson.dumps({"prompt_id": f"p{n}", **line}) + b"\n" for n, line in enumerate(lines))


def completion(text: str) -> web.Response:
    return OpenAIFormat().completion_response(text, "model-1")


async def test_job_parameters_reach_provider_and_line_overrides_job(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    messages += [{"role": "user", "content": "three"}]
    content = rows(
        {"prompt": "plain"},
        {"prompt": "own", "temperature": 0, "model": "other", "stop": "END", "extra": {"user": "u"}},
        {"messages": messages, "system": "Be long.", "max_tokens": 7.0},
    )
    job = {"system": "Be brief.", "temperature": 1.5, "top_p": 0.5, "seed": 3, "max_tokens": 100}
    async with recorded(tmp_path, max_in_flight=1) as (one, wire):
        await one.run(content, provider="openai", model="model-1", extra={"n": 1}, **job)

    plain, own, talk = sorted(wire.bodies, key=lambda body: ["plain", "own", "three"].index(_last(body)))
    brief = {"role": "system", "content": "Be brief."}
    common = {"temperature": 1.5, "top_p": 0.5, "seed": 3, "max_tokens": 100}
    request = {"model": "model-1", "messages": [brief, {"role": "user", "content": "plain"}]}
    assert plain == {**request, **common, "n": 1}
    request = {"model": "other", "messages": [brief, {"role": "user", "content": "own"}]}
    assert own == {**request, **common, "temperature": 0.0, "stop": ["END"], "user": "u"}
    request = {"model": "model-1", "messages": [{"role": "system", "content": "Be long."}, *messages]}
    assert talk == {**request, **common, "max_tokens": 7, "n": 1}


def _last(body: Body) -> str:
    text: str = body["messages"][-1]["content"]
    return text


async def test_job_metadata_is_returned_on_results_and_errors(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return OpenAIFormat().error_response(400) if prompt == "rejected" else None

    content = rows({"prompt": "a", "metadata": {"row": 1}}, {"prompt": "b"}, {"prompt": "rejected"})
    async with recorded(tmp_path, act) as (one, _):
        job_id = await one.run(content, provider="openai", metadata={"of": "job"})
        results, errors = await one.results(job_id), await one.errors(job_id)
        plain = await one.run(rows({"prompt": "a"}), provider="openai")
        without = await one.results(plain)

    assert [line["metadata"] for line in results] == [{"row": 1}, {"of": "job"}]
    assert [line["metadata"] for line in errors] == [{"of": "job"}]
    assert "metadata" not in without[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("temperature", 3),
        ("top_p", 0),
        ("stop", []),
        ("seed", "1"),
        ("system", ""),
        ("metadata", 1),
        ("extra", {"stream": True}),
        ("response_format", {"type": "json_schema", "schema": {"type": 5}}),
        ("response_format", {"type": "json_schema", "schema": {"$ref": "http://127.0.0.1:9/x"}}),
        ("extra", {"n": 2}),
        ("extra", {"logprobs": True, "top_logprobs": 3}),
        ("extra", {"generationConfig": {"candidateCount": 2}}),
        ("temprature", 1),
        ("messages", [{"role": "user", "content": "x"}]),
    ],
)
async def test_init_invalid_parameter_is_rejected_with_its_name(tmp_path: Path, name: str, value: object) -> None:
    async with in_process_stack(tmp_path) as one:
        body = {"provider": "echo", "model": "m", name: value}
        reply = await one.http.post("/v1/jobs/init", json=body, headers=one.headers)

    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
    assert reply.json()["detail"].startswith(name)


@pytest.mark.parametrize(
    ("field", "detail"),
    [
        (b'"temprature": 1', "temprature: Unknown field, did you mean temperature? "),
        (b'"maxRetries": 1', "maxRetries: Unknown field, did you mean max_retries? "),
        (b'"metadata": {"id": 12345678901234567890123}', "metadata: An integer exceeds 64 bits. Write it as a string."),
        (b'"extra": {"a": [-9223372036854775809]}', "extra: An integer exceeds 64 bits. Write it as a string."),
        (b'"warmth": 1', "warmth: Extra inputs are not permitted."),
    ],
)
async def test_init_field_that_would_be_changed_or_ignored_is_rejected(
    tmp_path: Path, field: bytes, detail: str
) -> None:
    async with in_process_stack(tmp_path) as one:
        body = b'{"provider": "echo", "model": "m", %s}' % field
        reply = await one.http.post("/v1/jobs/init", content=body, headers=one.headers)

    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
    assert reply.json()["detail"].startswith(detail)


async def test_init_limits_of_calls_are_stored_with_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        for given, expected in (({}, (None, None)), ({"timeout_seconds": 1800, "max_in_flight": 2.0}, (1800.0, 2))):
            body = {"provider": "echo", "model": "m", **given}
            reply = await one.http.post("/v1/jobs/init", json=body, headers=one.headers)
            job = await one.context.jobs.get(reply.json()["job_id"])
            assert job is not None
            assert (job.timeout_seconds, job.max_in_flight) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_seconds", 0.9),
        ("timeout_seconds", 3601),
        ("timeout_seconds", "60"),
        ("max_in_flight", 0),
        ("max_in_flight", 1.5),
        ("max_in_flight", 10_001),
    ],
)
async def test_init_invalid_limit_of_calls_is_rejected_with_its_name(tmp_path: Path, name: str, value: object) -> None:
    async with in_process_stack(tmp_path) as one:
        body = {"provider": "echo", "model": "m", name: value}
        reply = await one.http.post("/v1/jobs/init", json=body, headers=one.headers)

    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
    assert reply.json()["detail"].startswith(name)


async def test_job_timeout_ends_a_call(tmp_path: Path) -> None:
    async def hang(prompt: str, call: int) -> None:
        await asyncio.sleep(30)

    async with recorded(tmp_path, hang) as (one, _):
        job_id = await one.run(rows({"prompt": "x"}), provider="openai", model="m", timeout_seconds=1, max_retries=0)
        errors = await one.errors(job_id)

    assert [line["error"] for line in errors] == ["provider_timeout"]


@pytest.mark.parametrize("levels", [101, 240, 253, 254, 255, 300])
async def test_job_metadata_nested_too_deep_is_rejected_at_init_and_on_line(tmp_path: Path, levels: int) -> None:
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    async with in_process_stack(tmp_path) as one:
        request = b'{"provider": "echo", "model": "m", "metadata": ' + deep + b"}"
        reply = await one.http.post("/v1/jobs/init", content=request, headers=one.headers)
        line = b'{"prompt_id": "deep", "prompt": "x", "metadata": ' + deep + b"}\n"
        job_id = await one.run(line + rows({"prompt": "valid"}))
        results, errors = await one.results(job_id), await one.errors(job_id)

    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
    assert [line["prompt_id"] for line in results] == ["p0"]
    assert [line["error"] for line in errors] == ["invalid_parameter"]


async def test_job_unsupported_parameter_is_rejected_at_init_and_on_line(tmp_path: Path) -> None:
    async with serve_provider(FakeProvider(AnthropicFormat(), answer_all)) as provider:
        keys: dict[str, Any] = {"provider_keys": {"anthropic": "k"}, "provider_urls": {"anthropic": provider.url}}
        async with in_process_stack(tmp_path, **keys) as one:
            body = {"provider": "anthropic", "model": "m", "seed": 1}
            reply = await one.http.post("/v1/jobs/init", json=body, headers=one.headers)
            job_id = await one.run(rows({"prompt": "a", "seed": 1}, {"prompt": "b"}), provider="anthropic")
            results, errors = await one.results(job_id), await one.errors(job_id)

    assert (reply.status_code, reply.json()["code"]) == (422, "unsupported_parameter")
    assert "seed" in reply.json()["detail"]
    assert [(line["prompt_id"], line["error"], line["attempts"]) for line in errors] == [
        ("p0", "unsupported_parameter", 0)
    ]
    assert [line["result"] for line in results] == ["B"]


@pytest.mark.parametrize("provider", FORMATS)
async def test_init_provider_without_key_names_variable(tmp_path: Path, provider: str) -> None:
    async with in_process_stack(tmp_path) as one:
        body = {"provider": provider, "model": "m"}
        reply = await one.http.post("/v1/jobs/init", json=body, headers=one.headers)

    assert (reply.status_code, reply.json()["code"]) == (422, "provider_not_configured")
    assert str(PROVIDER_KEYS[provider]) in reply.json()["detail"]


async def test_init_idempotency_key_with_other_parameters_is_rejected(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        headers = {**one.headers, "Idempotency-Key": "k-1"}
        body = {"provider": "echo", "model": "m", "temperature": 1, "metadata": {"a": 1}}
        requests = [body, body | {"temperature": 1.0}, body | {"temperature": 0}, body | {"metadata": {"a": 2}}]
        replies = [await one.http.post("/v1/jobs/init", json=request, headers=headers) for request in requests]

    assert [reply.status_code for reply in replies] == [202, 202, 422, 422]


@pytest.mark.parametrize(
    ("form", "valid", "invalid"),
    [
        ({"type": "json_object"}, '{"N": 1}', "not json"),
        ({"type": "json_schema", "schema": SHAPE}, '{"N": 1}', '{"N": "1"}'),
        ({"type": "json_schema", "schema": SHAPE}, '{"N": 1}', "[]"),
        ({"type": "json_schema", "schema": {"pattern": "^(A+)+$"}}, '"AA"', '"' + "A" * 40_000 + 'B"'),
    ],
)
async def test_job_invalid_output_is_retried(tmp_path: Path, form: Body, valid: str, invalid: str) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return completion(valid if prompt == "late" and call == 3 else invalid)

    async with recorded(tmp_path, act) as (one, wire):
        content = rows({"prompt": "late"}, {"prompt": "never"})
        job_id = await one.run(content, provider="openai", max_retries=2, response_format=form)
        results, errors = await one.results(job_id), await one.errors(job_id)

    assert [(line["prompt_id"], line["result"], line["attempts"]) for line in results] == [("p0", valid, 3)]
    assert [(line["prompt_id"], line["error"], line["attempts"]) for line in errors] == [("p1", "invalid_output", 3)]
    assert {body["response_format"]["type"] for body in wire.bodies} == {form["type"]}


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_job_truncated_invalid_output_is_not_retried(tmp_path: Path, reason: str) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        body = orjson.loads(completion('{"N":').text or "")
        body["choices"][0]["finish_reason"] = reason
        return web.json_response(body)

    async with recorded(tmp_path, act) as (one, wire):
        form = {"type": "json_schema", "schema": SHAPE}
        job_id = await one.run(rows({"prompt": "x", "response_format": form}), provider="openai", max_retries=5)
        errors = await one.errors(job_id)

    assert [(line["error"], line["attempts"]) for line in errors] == [("invalid_output", 1)]
    assert len(wire.bodies) == 1


async def test_job_json_object_that_is_no_object_is_invalid_output(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return completion("7")

    async with recorded(tmp_path, act) as (one, _):
        content = rows({"prompt": "x", "response_format": {"type": "json_object"}})
        job_id = await one.run(content, provider="openai", max_retries=0)
        errors = await one.errors(job_id)

    assert [line["error"] for line in errors] == ["invalid_output"]


async def test_job_invalid_or_external_schema_is_an_error_and_not_fetched(tmp_path: Path) -> None:
    connections: list[object] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.close()

    external = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{external.sockets[0].getsockname()[1]}/schema"
    schemas: list[Body] = [
        {"type": 5},
        {"$ref": url},
        {"$schema": url},
        {"pattern": "("},
        {"$ref": "file:///etc/hosts"},
    ]
    forms = [{"type": "json_schema", "schema": schema} for schema in schemas]
    async with external, in_process_stack(tmp_path) as one:
        job_id = await one.run(rows(*({"prompt": "x", "response_format": form} for form in forms), {"prompt": "y"}))
        results, errors = await one.results(job_id), await one.errors(job_id)

    assert connections == []
    assert [(line["error"], line["attempts"]) for line in errors] == [("invalid_parameter", 0)] * len(schemas)
    assert [line["result"] for line in results] == ["y"]


async def test_verify_job_with_parameters_has_no_faults(tmp_path: Path) -> None:
    content = rows(
        {"prompt": "a", "temperature": 0.5, "metadata": {"row": 1}},
        {"prompt": "b", "temperature": 9},
        {"messages": [{"role": "user", "content": "c"}]},
        {"prompt": "d", "messages": []},
        {"prompt": "e", "user": "someone", "top_k": 3},
        {"prompt": "f", "model": "another"},
    )
    async with in_process_stack(tmp_path / "data") as one:
        job_id = await one.run(content, metadata={"of": "job"})
        finished = await download_finished_job(one, job_id, content, tmp_path / "home")
        results, errors = await one.results(job_id), await one.errors(job_id)

    assert verify(finished.file, finished.folder).faults == []
    assert [line["result"] for line in results] == ["a", "c", "e", "f"]
    assert [line["model"] for line in results] == ["echo-1", "echo-1", "echo-1", "another"]
    assert [(line["prompt_id"], line["error"]) for line in errors] == [
        ("p1", "invalid_parameter"),
        ("p3", "invalid_parameter"),
    ]
