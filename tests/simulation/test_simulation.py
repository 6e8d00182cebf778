"""A small share of the runs of `make simulate`, and the determinism of a seed."""

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
    """Return the outcomes of all groups, by seed."""
    return {}


@pytest.mark.parametrize("group", range(GROUPS))
def test_simulation_under_faults_violates_no_invariant(group: int, outcomes: dict[int, Outcome]) -> None:
    for seed in range(group, SEEDS, GROUPS):
        outcome = outcomes[seed] = simulate(seed)
        assert not outcome.violations, f"make simulate SEED={seed}: {outcome.violations}"


def test_simulation_of_all_seeds_has_every_fault_and_many_calls(outcomes: dict[int, Outcome]) -> None:
    runs = Counter(name for outcome in outcomes.values() for name in outcome.fault_counts)
    faultless = [outcome for outcome in outcomes.values() if not outcome.fault_counts]

    assert len(outcomes) == SEEDS
    assert {name for name in FAULTS if not runs[name]} == set()
    assert sum(outcome.calls for outcome in outcomes.values()) > 10 * SEEDS
    assert sum(outcome.losses for outcome in outcomes.values()) > SEEDS
    assert faultless
    assert all(outcome.repeated_calls == 0 for outcome in faultless)


def test_simulation_in_another_process_with_another_hash_seed_has_the_same_digest(
    outcomes: dict[int, Outcome],
) -> None:
    busiest = sorted(outcomes.values(), key=lambda outcome: -sum(outcome.fault_counts.values()))[:4]
    for number, outcome in enumerate(busiest):
        code = f"from tests.simulation.simulator import simulate; print(simulate({outcome.seed}).digest)"
        environ = {**os.environ, "PYTHONHASHSEED": str(number)}
        again = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)

        assert again.stdout.strip() == outcome.digest
