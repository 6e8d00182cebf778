"""The simulation seeds for mutation tests: few, fast, and with many lost leases, late writes and repeated messages.

`make test` does not collect this file, because it runs more seeds than these; `make mutate` names it. Each seed is a
test of its own, so that the first failure ends the run of a mutant.
"""

import pytest

from tests.simulation.simulator import simulate

SEEDS = (
    *(4, 13, 27, 52, 55, 77, 84, 85, 96, 184, 193, 219),
    *(263, 270, 292, 298, 301, 307, 315, 322, 328, 345, 378, 384),
)


@pytest.mark.parametrize("seed", SEEDS)
def test_simulation_under_faults_violates_no_invariant(seed: int) -> None:
    assert not simulate(seed).violations
