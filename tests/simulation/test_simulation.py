"""A small share of what `make simulate` runs; and that a seed is a seed."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation.faults import FAULTS
from tests.simulation.simulator import Outcome, simulate

SEEDS = 160
GROUPS = 8


@pytest.fixture(scope="module")
def outcomes() -> dict[int, Outcome]:
    """What the groups came to, for the one test that looks at all of them."""
    return {}


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_is_lost_doubled_invented_or_stuck(group: int, outcomes: dict[int, Outcome]) -> None:
    for seed in range(group, SEEDS, GROUPS):
        outcome = outcomes[seed] = simulate(seed)
        assert not outcome.violations, f"make simulate SEED={seed}: {outcome.violations}"


def test_every_fault_was_there_and_prompts_were_answered(outcomes: dict[int, Outcome]) -> None:
    runs = Counter(name for outcome in outcomes.values() for name in outcome.fired)
    calm = [outcome for outcome in outcomes.values() if not outcome.fired]

    assert len(outcomes) == SEEDS
    assert {name for name in FAULTS if not runs[name]} == set()
    assert sum(outcome.calls for outcome in outcomes.values()) > 10 * SEEDS
    assert sum(outcome.losses for outcome in outcomes.values()) > SEEDS
    assert calm
    assert all(outcome.paid_twice == 0 for outcome in calm)


def test_a_seed_gives_the_same_run_in_another_process_with_another_hash_seed(outcomes: dict[int, Outcome]) -> None:
    busiest = sorted(outcomes.values(), key=lambda outcome: -sum(outcome.fired.values()))[:4]
    for number, outcome in enumerate(busiest):
        code = f"from tests.simulation.simulator import simulate; print(simulate({outcome.seed}).digest)"
        environ = {**os.environ, "PYTHONHASHSEED": str(number)}
        again = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)

        assert again.stdout.strip() == outcome.digest
