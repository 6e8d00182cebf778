"""No signals at all: as many calls as prompts, with the engine's own settings."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import click

from tests.chaos.config import Config
from tests.chaos.jobs import Jobs
from tests.fakes.provider import FakeProvider, OpenAIFormat, answer_after, serve_provider
from tests.harness.engine_process import engine

LATENCY = 0.05


async def show(folder: Path, count: int) -> int:
    """Run one job, print what came of it; 1 if a rule was broken."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    async with serve_provider(FakeProvider(OpenAIFormat(), answer_after(LATENCY))) as provider:
        environ = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": provider.url}
        with engine(folder / "data", environ) as running:
            terms = Config(prompts_a_job=count, jobs_at_once=1)
            jobs = Jobs(terms, running.url, running.key, folder, hopeless=False)
            enough = asyncio.Event()
            feeding = asyncio.create_task(jobs.feed(enough))
            while not jobs.sent:
                await asyncio.sleep(0.05)
            enough.set()
            await feeding
            balance = await jobs.wait_until_finished()
    repeated = Counter(provider.call_counts.values())
    click.echo(f"{count:,} prompts without faults, default settings, provider at {1000 * LATENCY:.0f} ms")
    click.echo(f"calls {len(provider.call_log):,}, prompts called once {repeated[1]:,}, more than once ", nl=False)
    click.echo(f"{len(provider.call_counts) - repeated[1]:,}")
    click.echo(f"answered {balance.answered:,}, failed {balance.failed:,}, lost {balance.lost:,}, ", nl=False)
    click.echo(f"doubled {balance.doubled:,}, invented {balance.invented:,}, wrong {balance.wrong:,}")
    click.echo(f"{time.monotonic() - began:.0f} s")
    kept = len(provider.call_log) == len(provider.call_counts) == count == balance.answered
    return 0 if kept and not any((balance.lost, balance.doubled, balance.misplaced, balance.wrong)) else 1
