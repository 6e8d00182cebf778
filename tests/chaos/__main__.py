"""Kill, freeze and end real processes for real, while jobs run, and see that no prompt is lost, doubled or invented.

    python -m tests.chaos --kills 100 --stops 20 --terms 20 [--prompts 1500] [--seed 1] [--keep FOLDER]
    python -m tests.chaos --no-faults 100000

It ends with a table, and with exit code 1 if a rule was broken.
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
from tests.chaos.runner import play


def main() -> int:
    asked = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        if asked.no_faults:
            return asyncio.run(baseline.show(folder, asked.no_faults))
        return asyncio.run(_storms(folder, asked))


async def _storms(folder: Path, asked: argparse.Namespace) -> int:
    fair = Config(prompts_a_job=asked.prompts, seed=asked.seed)
    foul = replace(fair, call_timeout=3.0, seed=asked.seed + 1)
    click.echo("\n".join(fair.lines()))
    click.echo(f"with the foul provider a call may last {foul.call_timeout:g} s")
    first, second = FaultCounts(asked.kills, asked.stops, asked.terms).split()
    phases = []
    for name, terms, count in (("fair provider", fair, first), ("foul provider", foul, second)):
        diary = FaultLog(tell=lambda line: click.echo(line, err=True))
        phases.append(await play(name, folder / name.split()[0], terms, count, foul=terms is foul, diary=diary))
    click.echo("\n" + "\n".join(report.lines(phases)))
    return 1 if any(list(phase.broken()) for phase in phases) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="SIGKILL: a worker, the engine, or all at once")
    parser.add_argument("--stops", type=int, default=6, help="SIGSTOP for two leases, then SIGCONT: a worker")
    parser.add_argument("--terms", type=int, default=6, help="SIGTERM: the engine or a worker")
    parser.add_argument("--prompts", type=int, default=1500, help="prompts in each job")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder that does not exist yet, to keep data and logs in")
    parser.add_argument("--no-faults", type=int, metavar="PROMPTS", help="no signals: so many prompts, so many calls")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
