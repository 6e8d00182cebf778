"""A provider key that is rejected, on a real engine."""

import asyncio
from pathlib import Path

from aiohttp import web
from tests.fakes.provider import fake_provider, openai_error
from tests.harness.engine_process import engine
from tests.harness.lines import prompts

from promptforge.client.async_client import AsyncClient


async def test_engine_rejected_key_costs_one_call_per_worker_process(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(2000))

    async def act(prompt: str, call: int) -> web.Response:
        return openai_error(401)

    async with fake_provider(act) as provider:
        environ = {"OPENAI_API_KEY": "CANARY-key", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_CHUNK_LINES": "50"}
        with engine(tmp_path / "data", environ, workers=2) as running:
            async with AsyncClient(running.url, running.key) as client, asyncio.timeout(90):
                job = await client.init("openai", "m")
                await client.upload(job["upload_url"], path)
                while (status := await client.status(job["job_id"]))["status"] != "FAILED":
                    await asyncio.sleep(0.02)

    assert 1 <= provider.call_counts.total() <= 2
    assert (status["error"]["code"], status["failed_count"]) == ("provider_account", 2000)
    assert "OPENAI_API_KEY" in status["error"]["message"]
    assert "CANARY" not in (tmp_path / "engine.err").read_text()
