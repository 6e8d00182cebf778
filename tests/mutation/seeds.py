"""The simulation seeds that judge a mutant: few, cheap, and rich in lost leases, fences, repeats and lost answers.

No name that `make test` collects: it runs more seeds than these. `make mutate` names the file. One seed is one test, so
that the quickest comes first and the first that fails ends the mutant.
"""

import pytest

from tests.simulation.simulator import simulate

SEEDS = (
    *(4, 13, 27, 52, 55, 77, 84, 85, 96, 184, 193, 219),
    *(263, 270, 292, 298, 301, 307, 315, 322, 328, 345, 378, 384),
)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_invented_or_stuck(seed: int) -> None:
    assert not simulate(seed).violations
