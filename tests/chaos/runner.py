"""One phase from its first engine to its verdict."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.config import Config, FaultCounts
from tests.chaos.faults import KILLS, STOPS, TERMS, FaultLog, Kind
from tests.chaos.injector import FaultInjector, Stuck
from tests.chaos.jobs import Balance, Jobs
from tests.chaos.provider_faults import FaultyProvider, healthy
from tests.chaos.verdict import Phase
from tests.fakes.provider import FakeProvider, OpenAIFormat, serve_provider

LAST_JOBS_SECONDS = 300.0


def deck(count: FaultCounts) -> list[Kind]:
    """The strikes of a phase: each signal's kinds in turn."""
    drawn = ((KILLS, count.kills), (STOPS, count.stops), (TERMS, count.terms))
    return [kinds[n % len(kinds)] for kinds, times in drawn for n in range(times)]


async def play(name: str, folder: Path, terms: Config, count: FaultCounts, foul: bool, diary: FaultLog) -> Phase:
    """Send jobs, strike, let the rest come home, weigh."""
    began, balance, stuck = time.monotonic(), Balance(), ""
    folder.mkdir(parents=True)
    weather = FaultyProvider(terms) if foul else None
    async with (
        serve_provider(FakeProvider(OpenAIFormat(), weather or healthy(terms))) as provider,
        FaultInjector(folder, provider, terms, diary) as storm,
    ):
        jobs = Jobs(terms, storm.engine.url, storm.engine.key, folder, hopeless=foul)
        enough = asyncio.Event()
        feeding = asyncio.create_task(jobs.feed(enough))
        try:
            await _unless_over(feeding, storm.run(deck(count)))
            enough.set()
            async with asyncio.timeout(LAST_JOBS_SECONDS):
                await feeding
            balance = await jobs.wait_until_finished()
        except Stuck as exc:
            stuck = str(exc)
        except TimeoutError:
            stuck = f"the last jobs did not end within {LAST_JOBS_SECONDS:g} s"
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    faults = weather.played if weather else None
    phase = Phase(name, diary, provider.call_log, balance, time.monotonic() - began, terms.max_retries, stuck, faults)
    phase.assess()
    for what, rows in (("ledger", provider.call_log), ("strikes", diary.strikes)):
        lines = [orjson.dumps(row, default=list) + b"\n" for row in rows]
        (folder / f"{what}.jsonl").write_bytes(b"".join(lines))
    return phase


async def _unless_over(feeding: asyncio.Task[None], raging: Coroutine[Any, Any, None]) -> None:
    """Rage on; a fault of the feeding comes up at once."""
    storm = asyncio.create_task(raging)
    try:
        await asyncio.wait([feeding, storm], return_when=asyncio.FIRST_COMPLETED)
        (feeding if feeding.done() else storm).result()
    finally:
        storm.cancel()
        await asyncio.gather(storm, return_exceptions=True)
