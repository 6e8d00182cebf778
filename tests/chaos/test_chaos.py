"""A short chaos run as part of the tests.

`python -m tests.chaos` runs longer.
"""

import sys
from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.config import Config, FaultCounts
from tests.chaos.faults import FaultLog
from tests.chaos.runner import run_phase

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process of a call is read from /proc")


async def test_engine_with_killed_suspended_and_terminated_processes_answers_each_prompt_once(tmp_path: Path) -> None:
    config = Config(lease_seconds=4.0, prompts_per_job=600, concurrent_jobs=2)
    counts = FaultCounts(kills=3, stops=1, terms=1)
    phase = await run_phase("healthy", tmp_path / "healthy", config, counts, faulty=False, fault_log=FaultLog())

    assert list(phase.broken_rules()) == [], "\n".join(report.table([phase]))
    assert phase.answers.answered == phase.answers.sent >= 1200
    assert len(phase.fault_log.faults) == 5


async def test_engine_with_faulty_provider_answers_each_prompt_once(tmp_path: Path) -> None:
    config = Config(prompts_per_job=400, concurrent_jobs=1, call_timeout_seconds=2.0, max_retries=2)
    counts = FaultCounts(kills=1, stops=0, terms=0)
    phase = await run_phase("faulty", tmp_path / "faulty", config, counts, faulty=True, fault_log=FaultLog())

    assert list(phase.broken_rules()) == [], "\n".join(report.table([phase]))
    assert phase.answers.answered + phase.answers.failed == phase.answers.sent
    assert phase.provider_faults
