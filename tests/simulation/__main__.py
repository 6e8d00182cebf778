"""`python -m tests.simulation`: run many seeds, print what happened; or one, with its trace."""

import argparse
import os
import sys

from tests.simulation.batch import replay, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="only this one, with its trace")
    given = parser.parse_args()
    if given.seed is not None:
        return replay(given.seed)
    return run(given.first, given.seeds, given.processes)


if __name__ == "__main__":
    sys.exit(main())
