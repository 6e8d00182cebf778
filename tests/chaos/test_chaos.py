"""A short storm in every test run; `python -m tests.chaos` rages longer."""

import sys
from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.config import Config, FaultCounts
from tests.chaos.faults import FaultLog
from tests.chaos.runner import play

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="who made a call is read from /proc")


async def test_no_prompt_is_lost_doubled_or_invented_when_processes_are_killed_frozen_and_ended(tmp_path: Path) -> None:
    terms = Config(lease=4.0, prompts_a_job=600, jobs_at_once=2)
    phase = await play(
        "storm", tmp_path / "storm", terms, FaultCounts(kills=3, stops=1, terms=1), foul=False, diary=FaultLog()
    )

    assert list(phase.broken()) == [], "\n".join(report.lines([phase]))
    assert phase.balance.answered == phase.balance.sent >= 1200
    assert len(phase.diary.strikes) == 5


async def test_a_foul_provider_costs_no_prompt_either(tmp_path: Path) -> None:
    terms = Config(prompts_a_job=400, jobs_at_once=1, call_timeout=2.0, max_retries=2)
    phase = await play(
        "foul", tmp_path / "foul", terms, FaultCounts(kills=1, stops=0, terms=0), foul=True, diary=FaultLog()
    )

    assert list(phase.broken()) == [], "\n".join(report.lines([phase]))
    assert phase.balance.answered + phase.balance.failed == phase.balance.sent
    assert phase.faults
