"""One phase of a chaos run, from its first engine to its verdict."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.config import Config, FaultCounts
from tests.chaos.faults import KILLS, STOPS, TERMS, FaultKind, FaultLog
from tests.chaos.injector import FaultInjector, NoProgress
from tests.chaos.jobs import AnswerCounts, Jobs
from tests.chaos.provider_script import FaultyScript, healthy
from tests.chaos.verdict import Phase
from tests.fakes.provider import fake_provider

LAST_JOBS_SECONDS = 300.0


def fault_kinds(counts: FaultCounts) -> list[FaultKind]:
    """Return the faults of a phase: the kinds of each signal in turn."""
    signals = ((KILLS, counts.kills), (STOPS, counts.stops), (TERMS, counts.terms))
    return [kinds[n % len(kinds)] for kinds, times in signals for n in range(times)]


async def run_phase(
    name: str, folder: Path, config: Config, counts: FaultCounts, faulty: bool, fault_log: FaultLog
) -> Phase:
    """Send jobs, inject the faults, wait for the last jobs and assess the calls and answers."""
    started_at, answers, stuck = time.monotonic(), AnswerCounts(), ""
    folder.mkdir(parents=True)
    script = FaultyScript(config) if faulty else None
    async with (
        fake_provider(script or healthy(config)) as provider,
        FaultInjector(folder, provider, config, fault_log) as injector,
    ):
        jobs = Jobs(config, injector.engine.url, injector.engine.key, folder, always_failing=faulty)
        enough = asyncio.Event()
        feeding = asyncio.create_task(jobs.feed(enough))
        try:
            await _unless_finished(feeding, injector.run(fault_kinds(counts)))
            enough.set()
            async with asyncio.timeout(LAST_JOBS_SECONDS):
                await feeding
            answers = await jobs.collect_results()
        except NoProgress as exc:
            stuck = str(exc)
        except TimeoutError:
            stuck = f"the last jobs did not finish within {LAST_JOBS_SECONDS:g} s"
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    seconds, provider_faults = time.monotonic() - started_at, script.fault_counts if script else None
    phase = Phase(name, fault_log, provider.call_log, answers, seconds, config.max_retries, stuck, provider_faults)
    phase.assess()
    _write_log(folder / "calls.jsonl", provider.call_log)
    _write_log(folder / "faults.jsonl", fault_log.faults)
    return phase


def _write_log(path: Path, entries: list[Any]) -> None:
    path.write_bytes(b"".join(orjson.dumps(entry, default=list) + b"\n" for entry in entries))


async def _unless_finished(feeding: asyncio.Task[None], injection: Coroutine[Any, Any, None]) -> None:
    """Run the injection.

    An error of the feeding is raised at once.
    """
    injecting = asyncio.create_task(injection)
    try:
        await asyncio.wait([feeding, injecting], return_when=asyncio.FIRST_COMPLETED)
        (feeding if feeding.done() else injecting).result()
    finally:
        injecting.cancel()
        await asyncio.gather(injecting, return_exceptions=True)
