"""Many seeds on every core with a table of their faults, or one seed with its trace."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation.faults import FAULTS
from tests.simulation.simulator import Outcome, simulate

RARE_RUNS = 100  # a fault that occurs in fewer than one of this number of runs is hardly tested


def _simulate(seed: int) -> Outcome:
    outcome = simulate(seed)
    outcome.trace = []
    return outcome


def replay(seed: int) -> int:
    """Run one seed and print its trace.

    Return 1 if an invariant was violated.
    """
    outcome = simulate(seed)
    print("\n".join(outcome.trace))
    print(f"seed {seed}: digest {outcome.digest}, {len(outcome.violations)} violations")
    for violation in outcome.violations:
        print(f"  {violation}")
    return bool(outcome.violations)


def run(first: int, seeds: int, processes: int) -> int:
    """Run many seeds and print the table.

    Return 1 if a seed failed or a fault was too rare.
    """
    started_at, outcomes, failed = time.monotonic(), [], 0
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for outcome in pool.imap_unordered(_simulate, range(first, first + seeds), chunksize=4):
            outcomes.append(outcome)
            if outcome.violations:
                failed += 1
                print(f"seed {outcome.seed} FAILED: {outcome.violations[0]}")
                print(f"  replay it: make simulate SEED={outcome.seed}", flush=True)
    rare = _print_faults(outcomes)
    _print_totals(outcomes)
    print(f"\n{seeds} seeds from {first} in {time.monotonic() - started_at:.0f} s: {failed} failed")
    return bool(failed or rare)


def _print_faults(outcomes: Sequence[Outcome]) -> list[str]:
    """Print how often each fault occurred.

    Return the faults that were too rare.
    """
    fault_counts, runs = Counter[str](), Counter[str]()
    for outcome in outcomes:
        fault_counts.update(outcome.fault_counts)
        runs.update(outcome.fault_counts.keys())
    rare = [name for name in FAULTS if runs[name] < len(outcomes) // RARE_RUNS]
    print(f"\n{'fault':<18} {'count':>8} {'in runs':>8}  description")
    for name, description in FAULTS.items():
        suffix = "  TOO RARE" * (name in rare)
        print(f"{name:<18} {fault_counts[name]:>8} {runs[name]:>8}  {description}{suffix}")
    return rare


def _print_totals(outcomes: Sequence[Outcome]) -> None:
    totals = Counter[str]()
    for outcome in outcomes:
        for name in ("prompts", "calls", "repeated_calls", "conflicts", "losses"):
            totals[name] += getattr(outcome, name)
    hours = sum(outcome.simulated_seconds for outcome in outcomes) / 3600
    print(f"\nprompts {totals['prompts']}, calls {totals['calls']}, repeated {totals['repeated_calls']}", end=", ")
    print(f"crashes and stalls {totals['losses']}, conflicts {totals['conflicts']}, simulated hours {hours:.0f}")
