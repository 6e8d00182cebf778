"""Measure the CPU time of one call: a bare aiohttp loop, the adapter of PromptForge, and the official SDK.

    python benchmarks/calls.py [--calls 2000] [--in-flight 32] [--rounds 3] [--provider openai]

All three call the same server, which runs in another process; only the CPU time of the caller counts. The figures are
microseconds, medians of the rounds. The ratios are comparable between machines.
"""

import argparse
import asyncio
import importlib
import multiprocessing
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from promptforge.adapters.clock import SystemClock
from promptforge.ports.provider import Completion, CompletionRequest
from promptforge.settings import Settings

MODEL = "model-1"
TEXT = "An answer of some length. " * 8
GOALS = {"adapter/bare": 1.5, "adapter/SDK": 0.25}

USAGE = {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
COMPLETION = {"id": "c-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [CHOICE]}
MESSAGE = {"id": "m-1", "type": "message", "role": "assistant", "model": MODEL, "stop_sequence": None}
CONTENT = {"content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"}
CANDIDATE = {"content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP", "index": 0}
COUNTS = {"promptTokenCount": 20, "candidatesTokenCount": 40, "totalTokenCount": 60}
RESPONSES: dict[str, dict[str, Any]] = {
    "openai": COMPLETION | {"usage": USAGE},
    "anthropic": MESSAGE | CONTENT | {"usage": {"input_tokens": 20, "output_tokens": 40}},
    "gemini": {"candidates": [CANDIDATE], "usageMetadata": COUNTS, "modelVersion": MODEL, "responseId": "r-1"},
    "mistral": COMPLETION | {"usage": USAGE},
}
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": f"/v1beta/models/{MODEL}:generateContent",
    "mistral": "/v1/chat/completions",
}
BASES = {"openai": "/v1"}

Complete = Callable[[str], Awaitable[str]]
"""A function that sends a prompt and returns the answer."""


def serve(name: str, ready: Any) -> None:
    """Run a server that responds to every call immediately."""
    content = orjson.dumps(RESPONSES[name])

    async def respond(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=content, content_type="application/json")

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", respond)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def bare(name: str, url: str, in_flight: int, stack: AsyncExitStack) -> Complete:
    """Return the minimum that any client must do."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer k"}
    connector = aiohttp.TCPConnector(limit=in_flight)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, headers=headers))

    async def complete(prompt: str) -> str:
        body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": prompt}]})
        async with session.post(url + PATHS[name], data=body) as response:
            orjson.loads(await response.read())
        return prompt

    return complete


async def adapter(name: str, url: str, in_flight: int, stack: AsyncExitStack) -> Complete:
    """Return a call through the adapter of PromptForge."""
    settings = Settings(
        provider_keys={name: "k"}, provider_urls={name: url + BASES.get(name, "")}, max_in_flight=in_flight
    )
    module = importlib.import_module(f"promptforge.adapters.llm.{name}")
    provider = module.build(settings, SystemClock(), random.Random(1))
    stack.push_async_callback(provider.close)

    async def complete(prompt: str) -> str:
        completion = await provider.complete(CompletionRequest(MODEL, prompt), 60.0)
        assert isinstance(completion, Completion), completion
        return completion.text

    return complete


async def sdk(name: str, url: str, in_flight: int, stack: AsyncExitStack) -> Complete:
    """Return a call through the official SDK without retries.

    Raises ImportError if the SDK is not installed.
    """
    return await SDKS[name](url, stack)


async def _openai(url: str, stack: AsyncExitStack) -> Complete:
    module = importlib.import_module("openai")
    client = await stack.enter_async_context(module.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0))

    async def complete(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        response = await client.chat.completions.create(model=MODEL, messages=messages)
        return str(response.choices[0].message.content)

    return complete


async def _anthropic(url: str, stack: AsyncExitStack) -> Complete:
    module = importlib.import_module("anthropic")
    client = await stack.enter_async_context(module.AsyncAnthropic(base_url=url, api_key="k", max_retries=0))

    async def complete(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        response = await client.messages.create(model=MODEL, max_tokens=4096, messages=messages)
        return str(response.content[0].text)

    return complete


async def _gemini(url: str, stack: AsyncExitStack) -> Complete:
    module = importlib.import_module("google.genai")
    client = module.Client(api_key="k", http_options={"base_url": url})

    async def complete(prompt: str) -> str:
        return str((await client.aio.models.generate_content(model=MODEL, contents=prompt)).text)

    return complete


async def _mistral(url: str, stack: AsyncExitStack) -> Complete:
    module = importlib.import_module("mistralai.client")
    client = await stack.enter_async_context(module.Mistral(api_key="k", server_url=url))

    async def complete(prompt: str) -> str:
        response = await client.chat.complete_async(model=MODEL, messages=[{"role": "user", "content": prompt}])
        return str(response.choices[0].message.content)

    return complete


SDKS = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini, "mistral": _mistral}
CALLERS = {"bare": bare, "adapter": adapter, "SDK": sdk}


async def measure(caller: str, name: str, url: str, calls: int, in_flight: int) -> float:
    """Return the microseconds of CPU time per call.

    The first calls do not count, because they open connections and import modules.
    """
    async with AsyncExitStack() as stack:
        complete = await CALLERS[caller](name, url, in_flight, stack)
        await _complete_all(complete, in_flight * 2, in_flight)
        started_at = time.process_time()
        await _complete_all(complete, calls, in_flight)
        return (time.process_time() - started_at) / calls * 1e6


async def _complete_all(complete: Complete, calls: int, in_flight: int) -> None:
    prompts = iter([f"Why is the sky blue, asked for the time number {number}?" for number in range(calls)])

    async def complete_next() -> None:
        for prompt in prompts:
            await complete(prompt)

    await asyncio.gather(*(complete_next() for _ in range(in_flight)))


def compare(name: str, options: argparse.Namespace) -> str:
    """Measure one provider and return a row of the table."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(name, sender), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{receiver.recv()}"
    figures: dict[str, list[float]] = {caller: [] for caller in CALLERS}
    for _ in range(options.rounds):
        for caller, times in figures.items():
            try:
                times.append(asyncio.run(measure(caller, name, url, options.calls, options.in_flight)))
            except ImportError as exc:
                print(f"{name}: the SDK is not installed ({exc.name})")
    server.terminate()
    server.join()
    medians = {caller: statistics.median(times) if times else float("nan") for caller, times in figures.items()}
    ratios = {goal: medians["adapter"] / medians[goal.removeprefix("adapter/")] for goal in GOALS}
    return f"{name:<10}" + "".join(f"{value:>10.0f}" for value in medians.values()) + _format(ratios)


def _format(ratios: dict[str, float]) -> str:
    return "".join(f"{value:>13.2f}{' !' if value > GOALS[goal] else '  '}" for goal, value in ratios.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--provider", choices=SDKS)
    options = parser.parse_args()
    rows = [compare(name, options) for name in ([options.provider] if options.provider else SDKS)]
    print(f"{'CPU, µs':<10}" + "".join(f"{name:>10}" for name in CALLERS) + "".join(f"{g:>13}  " for g in GOALS))
    print("\n".join(rows))
    print(f"goals: {', '.join(f'{goal} at most {value}' for goal, value in GOALS.items())}; ! marks a higher ratio")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
