"""Measure prompts per second: a bare aiohttp loop, and PromptForge from the end of the upload to COMPLETED.

    python benchmarks/throughput.py [--prompts 10000] [--latency 0.05] [--in-flight 256] [--rounds 3]

Both call the same OpenAI-compatible server on this machine. The output has both figures of each round and their ratio.
The ratio is comparable between machines.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web

from promptforge.client import AsyncClient

RESPONSE = orjson.dumps(
    {
        "model": "gpt-test",
        "choices": [{"message": {"role": "assistant", "content": "An answer of some length. " * 8}}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40},
    }
)


def provider(port: int, latency: float) -> None:
    """Run a server that responds to every call after `latency` seconds."""

    async def respond(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency)
        return web.Response(body=RESPONSE, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", respond)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, handle_signals=False)


async def bare(url: str, prompts: list[str], in_flight: int) -> float:
    """Return the seconds for all prompts with the minimum that any client must do."""
    queue = iter(prompts)

    async def call_next(session: aiohttp.ClientSession) -> None:
        for prompt in queue:
            body = orjson.dumps({"model": "gpt-test", "messages": [{"role": "user", "content": prompt}]})
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                orjson.loads(await response.read())

    started_at = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:
        await asyncio.gather(*[call_next(session) for _ in range(in_flight)])
    return time.perf_counter() - started_at


async def promptforge(url: str, key: str, path: Path) -> float:
    """Return the seconds from the end of the upload to COMPLETED."""
    async with AsyncClient(url, key) as client:
        job = await client.init("openai", "gpt-test")
        await client.upload(job["upload_url"], path)
        started_at = time.perf_counter()
        while (status := await client.status(job["job_id"]))["status"] not in ("COMPLETED", "FAILED"):
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - started_at
    if status["completed_count"] != status["prompt_count"]:
        raise SystemExit(f"Not every prompt was answered: {status}")
    return seconds


def start_engine(
    folder: Path, provider_url: str, in_flight: int, workers: int
) -> tuple[subprocess.Popen[str], str, str]:
    """Start an engine with this number of calls in flight over all its workers."""
    settings = {
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": provider_url,
        "PROMPTFORGE_MAX_IN_FLIGHT": str(in_flight // workers),
        "PROMPTFORGE_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "promptforge", "serve", "--port", "0", "--data-dir", str(folder)]
    engine = subprocess.Popen(
        [*command, "--workers", str(workers)], env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True
    )
    fields = {}
    for line in engine.stdout or ():
        name, _, value = line.strip().partition("  ")
        fields[name] = value.strip()
        if name == "Ready":
            break
    return engine, fields["URL"], fields["API key"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    port = 18_431
    server = multiprocessing.Process(target=provider, args=(port, options.latency), daemon=True)
    server.start()
    prompts = [f"Tell me something about the number {number}, in a few words." for number in range(options.prompts)]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.jsonl"
        path.write_text("".join(json.dumps({"prompt_id": str(n), "prompt": p}) + "\n" for n, p in enumerate(prompts)))
        engine, url, key = start_engine(
            Path(folder) / "data", f"http://127.0.0.1:{port}/v1", options.in_flight, options.workers
        )
        try:
            for _ in range(options.rounds):
                bare_seconds = asyncio.run(
                    bare(f"http://127.0.0.1:{port}/v1/chat/completions", prompts, options.in_flight)
                )
                seconds = asyncio.run(promptforge(url, key, path))
                ratios.append(bare_seconds / seconds)
                rates = f"bare {options.prompts / bare_seconds:6.0f}/s   promptforge {options.prompts / seconds:6.0f}/s"
                print(f"{rates}   ratio {ratios[-1]:.2f}")
        finally:
            engine.terminate()
            engine.wait()
            server.terminate()
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
