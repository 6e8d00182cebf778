"""The checks of the results that a client downloads: one line per input line, with an outcome that the line allows."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from promptforge.client.verify import verify
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES
from tests.simulation.jobs import InputLine, SimulatedJob

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

STOP_CODES = {
    "cancelled": "cancelled",
    "provider_account": "rejected_key",
    "deadline_exceeded": None,
    "input_changed": "input_deleted",
    "cost_limit": "cost_limit",
}
"""The codes that may replace any answer, and the fault that they require."""

LINE_CODES = {"rejected": "prompt_rejected", "poison": "worker_crash", "always_failing": "provider_error"}
CALL_FAILURE_CODES = {"provider_error", "provider_timeout"}
CODES_WITHOUT_RESULTS = {"upload_expired", "empty_input", "input_changed", "cancelled", "deadline_exceeded"}


def check_results(simulator: "Simulator", job: SimulatedJob) -> None:
    """Check the status and the files of a finished job."""
    final, expect, job_id = job.final, simulator.expect, job.job_id
    code = final["error"] and final["error"]["code"]
    if job.files is None:
        permitted = code in CODES_WITHOUT_RESULTS and not final["prompt_count"]
        expect(permitted, f"{job_id}: there is nothing to download, but {final}")
        return
    results, errors = _lines(job, "results_part"), _lines(job, "errors")
    lines = [line for line in job.lines if line.kind != "blank"]
    expect(final["prompt_count"] == len(lines), f"{job_id}: {len(lines)} prompts, not {final['prompt_count']}")
    expect(final["completed_count"] == len(results), f"{job_id}: completed_count is the number of results")
    expect(final["failed_count"] == len(errors), f"{job_id}: failed_count is the number of errors")
    tokens = sum(line["tokens_used"] for line in results)
    expect(final["tokens_used"] == tokens, f"{job_id}: tokens_used is the sum over the results")
    completed = final["status"] == "COMPLETED"
    expect(completed == (code is None), f"{job_id}: {final['status']} with {code}")
    if code not in STOP_CODES:
        expect(completed == bool(results), f"{job_id}: {final['status']} with {len(results)} results")
    _check_lines(simulator, job, lines, results, errors)
    if not any(line["error"] == "input_changed" and line["prompt_id"] is None for line in errors):
        _check_verify(simulator, job)


def _check_lines(
    simulator: "Simulator", job: SimulatedJob, lines: list[InputLine], results: list[Any], errors: list[Any]
) -> None:
    expect, by_id = simulator.expect, {line["prompt_id"]: line for line in results}
    by_number = {line["line"]: line for line in errors}
    unique = len(by_id) == len(results) and len(by_number) == len(errors)
    expect(unique, f"{job.job_id}: every line occurs once")
    in_order = [line.prompt_id for line in lines if line.prompt and line.prompt_id in by_id]
    expect([line["prompt_id"] for line in results] == in_order, f"{job.job_id}: results are in input order")
    expect([line["line"] for line in errors] == sorted(by_number), f"{job.job_id}: errors are in input order")
    unread = sum(line["error"] == "input_changed" and line["prompt_id"] is None for line in errors)
    for line in lines:
        if line.prompt and line.prompt_id in by_id:
            text = by_id[line.prompt_id]["result"]
            right = line.kind == "prompt" and text.startswith(line.prompt)
            expect(right, f"{job.job_id}: {line.prompt_id} has the result {text}")
        elif line.number in by_number:
            _check_error(simulator, job, line, by_number[line.number])
        else:
            unread -= 1  # without the input, the numbers of blank lines are unknown
            expect(unread >= 0, f"{job.job_id}: line {line.number} is lost")


def _check_error(simulator: "Simulator", job: SimulatedJob, line: InputLine, error: dict[str, Any]) -> None:
    code, faults = error["error"], simulator.plan.faults
    if code in STOP_CODES:
        allowed = STOP_CODES[code] is None or STOP_CODES[code] in faults
    elif code == "worker_crash" and line.kind == "prompt":
        allowed = "clock_skew" in simulator.fault_counts or _crash_causes(simulator) >= MAX_ISOLATED_CRASHES
    elif line.kind == "prompt":
        allowed = code in CALL_FAILURE_CODES
    else:
        expected = LINE_CODES.get(line.kind, line.kind)
        allowed = code == expected or (bool(line.prompt) and code in CALL_FAILURE_CODES)
    simulator.expect(allowed, f"{job.job_id}: line {line.number}, a {line.kind}, has the error {code}")
    limit = job.max_retries + 1
    simulator.expect(error["attempts"] <= limit, f"{job.job_id}: {error['attempts']} attempts, at most {limit}")
    known = error["prompt_id"] in (line.prompt_id, None if code == "input_changed" else line.prompt_id)
    simulator.expect(known, f"{job.job_id}: line {line.number} has the prompt id {error['prompt_id']}")


def _crash_causes(simulator: "Simulator") -> int:
    """Return how often an instance crashed or could not renew its leases for a reason other than a prompt.

    If this happens often enough during the same prompt, the prompt counts as a poison prompt. With skewed clocks,
    even a running instance seems to have crashed.
    """
    return sum(simulator.fault_counts[name] for name in ("crash", "stall", "sigterm")) + len(simulator.plan.outages)


def _check_verify(simulator: "Simulator", job: SimulatedJob) -> None:
    """Check that the `verify` command of the product agrees."""
    with tempfile.TemporaryDirectory(dir=simulator.folder) as folder:
        for name, content in (job.files or {}).items():
            (Path(folder) / name).write_bytes(content)
        (Path(folder) / "input").write_bytes(job.content)
        verdict = verify(Path(folder) / "input", Path(folder))
    simulator.expect(not verdict.faults, f"{job.job_id}: verify finds {verdict.faults[:3]}")


def _lines(job: SimulatedJob, prefix: str) -> list[Any]:
    files = job.files or {}
    return [
        orjson.loads(line) for name in sorted(files) if name.startswith(prefix) for line in files[name].splitlines()
    ]
