"""Kill, suspend and terminate real processes while jobs run, and check that each prompt has exactly one answer.

    python -m tests.chaos --kills 100 --stops 20 --terms 20 [--prompts 1500] [--seed 1] [--keep FOLDER]
    python -m tests.chaos --no-faults 100000

It prints a table. The exit code is 1 if a rule was broken.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from tests.chaos import baseline, report
from tests.chaos.config import Config, FaultCounts
from tests.chaos.faults import FaultLog
from tests.chaos.runner import run_phase


def main() -> int:
    options = _parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if options.no_faults:
            return asyncio.run(baseline.run(folder, options.no_faults))
        return asyncio.run(_run_phases(folder, options))


async def _run_phases(folder: Path, options: argparse.Namespace) -> int:
    healthy = Config(prompts_per_job=options.prompts, seed=options.seed)
    faulty = replace(healthy, call_timeout_seconds=3.0, seed=options.seed + 1)
    click.echo("\n".join(healthy.describe()))
    click.echo(f"with the faulty provider a call has a timeout of {faulty.call_timeout_seconds:g} s")
    first, second = FaultCounts(options.kills, options.stops, options.terms).split()
    phases = []
    for name, config, counts in (("healthy provider", healthy, first), ("faulty provider", faulty, second)):
        fault_log = FaultLog(report=lambda line: click.echo(line, err=True))
        home = folder / name.split()[0]
        phases.append(await run_phase(name, home, config, counts, faulty=config is faulty, fault_log=fault_log))
    click.echo("\n" + "\n".join(report.table(phases)))
    return 1 if any(list(phase.broken_rules()) for phase in phases) else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="SIGKILL: a worker, the engine, or all at once")
    parser.add_argument("--stops", type=int, default=6, help="SIGSTOP for two leases, then SIGCONT: a worker")
    parser.add_argument("--terms", type=int, default=6, help="SIGTERM: the engine or a worker")
    parser.add_argument("--prompts", type=int, default=1500, help="prompts in each job")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder for data and logs, which is kept")
    parser.add_argument("--no-faults", type=int, metavar="PROMPTS", help="no signals: PROMPTS prompts, PROMPTS calls")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
