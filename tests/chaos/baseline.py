"""A run without faults and with the default settings: the number of calls equals the number of prompts."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import click

from tests.chaos.config import Config
from tests.chaos.jobs import Jobs
from tests.fakes.provider import answer_after, fake_provider
from tests.harness.engine_process import engine

LATENCY_SECONDS = 0.05
POLL_SECONDS = 0.05


async def run(folder: Path, count: int) -> int:
    """Run one job and print its counts.

    Return 1 if a rule was broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started_at = time.monotonic()
    async with fake_provider(answer_after(LATENCY_SECONDS)) as provider:
        environ = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": provider.url}
        with engine(folder / "data", environ) as running:
            config = Config(prompts_per_job=count, concurrent_jobs=1)
            jobs = Jobs(config, running.url, running.key, folder, always_failing=False)
            enough = asyncio.Event()
            feeding = asyncio.create_task(jobs.feed(enough))
            while not jobs.sent:
                await asyncio.sleep(POLL_SECONDS)
            enough.set()
            await feeding
            totals = await jobs.collect_results()
    calls, by_count = len(provider.call_log), Counter(provider.call_counts.values())
    repeated = len(provider.call_counts) - by_count[1]
    click.echo(f"{count:,} prompts without faults, default settings, provider at {1000 * LATENCY_SECONDS:.0f} ms")
    click.echo(f"calls {calls:,}, prompts called once {by_count[1]:,}, more than once {repeated:,}")
    click.echo(f"answered {totals.answered:,}, failed {totals.failed:,}, lost {totals.lost:,}, ", nl=False)
    click.echo(f"duplicate {totals.duplicate:,}, unexpected {totals.unexpected:,}, wrong {totals.wrong:,}")
    click.echo(f"{time.monotonic() - started_at:.0f} s")
    complete = calls == len(provider.call_counts) == count == totals.answered
    return 0 if complete and not any((totals.lost, totals.duplicate, totals.misplaced, totals.wrong)) else 1
