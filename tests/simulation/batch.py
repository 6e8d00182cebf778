"""Many seeds on every core, and the table of what happened; or one seed, step by step."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable

from tests.simulation.faults import FAULTS
from tests.simulation.simulator import Outcome, simulate


def _simulate(seed: int) -> Outcome:
    outcome = simulate(seed)
    outcome.trace = []
    return outcome


def replay(seed: int) -> int:
    """One seed, every step of it."""
    outcome = simulate(seed)
    print("\n".join(outcome.trace))
    print(f"seed {seed}: digest {outcome.digest}, {len(outcome.violations)} violations")
    for violation in outcome.violations:
        print(f"  {violation}")
    return bool(outcome.violations)


def run(first: int, seeds: int, processes: int) -> int:
    """Many seeds and the table; 1 if any seed failed or a fault hardly ever happened."""
    began, outcomes, failed = time.monotonic(), [], 0
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for outcome in pool.imap_unordered(_simulate, range(first, first + seeds), chunksize=4):
            outcomes.append(outcome)
            if outcome.violations:
                failed += 1
                print(f"seed {outcome.seed} FAILED: {outcome.violations[0]}")
                print(f"  replay it: make simulate SEED={outcome.seed}", flush=True)
    starved = table(outcomes)
    print(f"\n{seeds} seeds from {first} in {time.monotonic() - began:.0f} s: {failed} failed")
    return bool(failed or starved)


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """Print the faults fired; the ones that fired too rarely to count as tried."""
    outcomes = list(outcomes)
    fired, runs = Counter[str](), Counter[str]()
    for outcome in outcomes:
        fired.update(outcome.fired)
        runs.update(outcome.fired.keys())
    needed = len(outcomes) // 100
    starved = [name for name in FAULTS if runs[name] < needed]
    print(f"\n{'fault':<16} {'fired':>8} {'in runs':>8}  what happens")
    for name, meaning in FAULTS.items():
        print(f"{name:<16} {fired[name]:>8} {runs[name]:>8}  {meaning}{'  TOO RARE' * (name in starved)}")
    total = Counter[str]()
    for outcome in outcomes:
        for name in ("prompts", "calls", "paid_twice", "contended", "losses"):
            total[name] += getattr(outcome, name)
    hours = sum(outcome.simulated_seconds for outcome in outcomes) / 3600
    print(f"\nprompts {total['prompts']}, calls {total['calls']}, paid twice {total['paid_twice']}", end=", ")
    print(f"machines lost or frozen {total['losses']}, conflicts {total['contended']}, hours simulated {hours:.0f}")
    return starved
