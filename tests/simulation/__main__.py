"""Run many seeds and print a table of the faults, or run one seed and print its trace."""

import argparse
import os
import sys

from tests.simulation.batch import replay, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="number of processes")
    parser.add_argument("--seed", type=int, help="run only this seed and print its trace")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    return run(options.first, options.seeds, options.processes)


if __name__ == "__main__":
    sys.exit(main())
