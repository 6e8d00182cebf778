"""Prompts per second, side by side: a bare aiohttp loop, and PromptForge from the end of the upload to COMPLETED.

    python benchmarks/throughput.py [--prompts 10000] [--latency 0.05] [--in-flight 256] [--rounds 3]

Both call the same OpenAI-shaped server on this machine. It prints both figures of each round and their ratio; the
ratio is what holds on another machine.
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
from promptforge.client.async_client import AsyncClient

ANSWER = orjson.dumps(
    {
        "model": "gpt-test",
        "choices": [{"message": {"role": "assistant", "content": "An answer of some length. " * 8}}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40},
    }
)


def provider(port: int, latency: float) -> None:
    """A server that answers every call after `latency` seconds."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency)
        return web.Response(body=ANSWER, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, handle_signals=False)


async def bare(url: str, prompts: list[str], in_flight: int) -> float:
    """The least that any client must do: seconds for all prompts."""
    queue = iter(prompts)

    async def one(session: aiohttp.ClientSession) -> None:
        for prompt in queue:
            body = orjson.dumps({"model": "gpt-test", "messages": [{"role": "user", "content": prompt}]})
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                orjson.loads(await response.read())

    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:
        await asyncio.gather(*[one(session) for _ in range(in_flight)])
    return time.perf_counter() - began


async def forged(url: str, key: str, path: Path) -> float:
    """The same through PromptForge: seconds from the end of the upload to COMPLETED."""
    async with AsyncClient(url, key) as client:
        job = await client.init("openai", "gpt-test")
        await client.upload(job["upload_url"], path)
        began = time.perf_counter()
        while (status := await client.status(job["job_id"]))["status"] not in ("COMPLETED", "FAILED"):
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - began
    if status["completed_count"] != status["prompt_count"]:
        raise SystemExit(f"not every prompt was answered: {status}")
    return seconds


def start_engine(
    folder: Path, provider_url: str, in_flight: int, workers: int
) -> tuple[subprocess.Popen[str], str, str]:
    """An engine with that many calls in flight over all its workers."""
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
    said = {}
    for line in engine.stdout or ():
        name, _, value = line.strip().partition("  ")
        said[name] = value.strip()
        if name == "Ready":
            break
    return engine, said["URL"], said["API key"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()

    port = 18_431
    server = multiprocessing.Process(target=provider, args=(port, asked.latency), daemon=True)
    server.start()
    prompts = [f"Tell me something about the number {number}, in a few words." for number in range(asked.prompts)]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.jsonl"
        path.write_text("".join(json.dumps({"prompt_id": str(n), "prompt": p}) + "\n" for n, p in enumerate(prompts)))
        engine, url, key = start_engine(
            Path(folder) / "data", f"http://127.0.0.1:{port}/v1", asked.in_flight, asked.workers
        )
        try:
            for _ in range(asked.rounds):
                plain = asyncio.run(bare(f"http://127.0.0.1:{port}/v1/chat/completions", prompts, asked.in_flight))
                ours = asyncio.run(forged(url, key, path))
                ratios.append(plain / ours)
                rates = f"bare {asked.prompts / plain:6.0f}/s   promptforge {asked.prompts / ours:6.0f}/s"
                print(f"{rates}   ratio {ratios[-1]:.2f}")
        finally:
            engine.terminate()
            engine.wait()
            server.terminate()
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
