"""Measure the start of each function beside the framework and the Google clients that it usually needs.

    python -m benchmarks.cold_start [--rounds 9]

The functions come from their archives. Each environment has only the declared requirements, compiled to bytecode.

- `started`: main.py is imported and the context is built.
- `ready`: the modules of the usual call are imported too, before its first request.
- `together`: the framework and the clients in one process, without PromptForge.
- `sum`: the framework and each client in a process of its own.

The ratios are of `ready` to the last two. Every figure is the median of several new processes, which alternate.
CPU seconds depend less on other load than wall time.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.harness.packaged_functions import PackagedFunction, install_functions

FRAMEWORK = "functions_framework.aio"
FIRESTORE = "google.cloud.firestore_v1.services.firestore.transports"
TASKS = "google.cloud.tasks_v2.services.cloud_tasks.transports"
PUBSUB = "google.pubsub_v1.services.publisher.transports"
STORAGE = "google.cloud.storage"
ADAPTERS = {STORAGE: "promptforge.adapters.gcp.bucket"}
"""The modules of PromptForge that import a client on first use."""

USUAL = {
    "init": (FIRESTORE, TASKS),
    "status": (FIRESTORE,),
    "results": (FIRESTORE,),
    "cancel": (FIRESTORE, TASKS),
    "delete": (FIRESTORE, TASKS),
    "splitter": (FIRESTORE, STORAGE, PUBSUB),
    "worker": (FIRESTORE, STORAGE, TASKS),
    "finalizer": (FIRESTORE, STORAGE),
    "sweeper": (FIRESTORE,),
    "eraser": (FIRESTORE, STORAGE),
}
"""The clients that the usual call of each function needs."""

ENVIRON = {
    "PROMPTFORGE_BACKEND": "gcp",
    "PROMPTFORGE_FUNCTION_URL": "https://{function}.invalid",
    **{
        f"PROMPTFORGE_{name.upper()}": "x"
        for name in (
            "project",
            "region",
            "uploads_bucket",
            "work_bucket",
            "results_bucket",
            "task_account",
            "push_account",
            "event_account",
            "timer_account",
            "upload_signer",
            "download_signer",
            "pepper",
        )
    },
}

CHILD = """
import json, os, sys, time
from importlib import import_module
sys.path.insert(0, sys.argv[1])
started_at = time.process_time()
if os.environ["FUNCTION_TARGET"]:
    import_module("main")
    from promptforge.bootstrap import build_context
    from promptforge.settings import Settings
    build_context(Settings.from_env(os.environ))
for name in sys.argv[3:]:
    import_module(name)
seconds = time.process_time() - started_at
sys.path.insert(0, sys.argv[2])
from peak import peak_mib
print(json.dumps((seconds, peak_mib())))
"""
"""A program that starts the named function, if any, imports modules, and prints the cost."""

Cost = tuple[float, float]


def measure(place: PackagedFunction, function: str, modules: Sequence[str]) -> Cost:
    """Return the CPU seconds and MiB of a new process that runs CHILD."""
    command = [str(place.python), "-c", CHILD, str(place.main.parent), str(Path(__file__).parent), *modules]
    environ = {**os.environ, **ENVIRON, "FUNCTION_TARGET": function, "PYTHONPATH": ""}
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
    seconds, mebibytes = json.loads(done.stdout)
    return seconds, mebibytes


def compare(function: str, place: PackagedFunction, rounds: int) -> str:
    """Measure one function and return a row of the table."""
    clients = USUAL[function]
    modules = [ADAPTERS.get(client, client) for client in clients]
    kinds = [(function, []), (function, modules), ("", [FRAMEWORK, *clients])]
    kinds += [("", [module]) for module in (FRAMEWORK, *clients)]
    costs = [[measure(place, *kind) for kind in kinds] for _ in range(rounds)]
    started, ready, together, *single = (_median(kind) for kind in zip(*costs, strict=True))
    total = sum(seconds for seconds, _ in single)
    columns = "".join(f"{seconds:>9.2f} s {mebibytes:>4.0f} MiB" for seconds, mebibytes in (started, ready, together))
    return f"{function:<10}{columns}{total:>9.2f} s{ready[0] / together[0]:>9.2f}{ready[0] / total:>7.2f}"


def _median(costs: Sequence[Cost]) -> Cost:
    return statistics.median(seconds for seconds, _ in costs), statistics.median(memory for _, memory in costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        places = install_functions(Path(folder))
        print(f"{'':<10}{'started':>20}{'ready':>20}{'together':>20}{'sum':>11}{'ratios':>14}")
        for function in USUAL:
            print(compare(function, places[function], rounds), flush=True)


if __name__ == "__main__":
    main()
