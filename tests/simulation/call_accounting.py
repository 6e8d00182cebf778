"""The accounting of calls: every call belongs to a prompt, and every repeated call has a reason among the faults."""

from collections import defaultdict
from typing import TYPE_CHECKING

import orjson

from tests.simulation.jobs import CANARY, SimulatedJob
from tests.simulation.provider import Call

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

BILLED = ("answered", "lost", "prompt")
EXPECTED_ERRORS = {"Unavailable", "Conflict", "LeaseLost", "ObjectMissing", "ObjectExists", None}
MAX_STOP_SECONDS = 5.0
RESUME_SECONDS = 1.0
STORE_FAULTS = {"outage", "unavailable", "response_lost", "slow_store", "clock_skew"}
"""Faults that may lose an answer on its way to a store: the store does not respond, or a lease expires early."""


def check_calls(simulator: "Simulator", jobs: list[SimulatedJob]) -> int:
    """Check that each call was necessary.

    Return the number of calls that had to be repeated.
    """
    by_prompt: dict[str, list[Call]] = defaultdict(list)
    for call in simulator.calls:
        by_prompt[call.prompt].append(call)
    job_of_prompt = {line.prompt: job for job in jobs for line in job.lines if line.prompt}
    repeated = 0
    for prompt, calls in by_prompt.items():
        job = job_of_prompt.get(prompt)
        simulator.expect(job is not None, f"the prompt of a call is in a job: {prompt!r}")
        repeated += _check_repeated(simulator, prompt, calls)
        if job and not STORE_FAULTS & simulator.fault_counts.keys():
            failures = sum(call.outcome == "unknown" for call in calls)
            limit = (job.max_retries + 1) * (1 + len(simulator.losses))  # a crash loses the attempts counted before it
            simulator.expect(failures <= limit, f"{failures} failures of {prompt!r}, at most {limit}")
    for job in jobs:
        _check_stopped(simulator, job, by_prompt)
        simulator.costs.check_job(job, [call for line in job.lines for call in by_prompt.get(line.prompt, [])])
    if not simulator.plan.faults:
        once = len(simulator.calls) == len(job_of_prompt) == len(by_prompt)
        simulator.expect(once, "without faults every prompt is called once")
    return repeated


def _check_repeated(simulator: "Simulator", prompt: str, calls: list[Call]) -> int:
    """Check that each billed call that was repeated was lost to a fault.

    Return their number.
    """
    repeated = [call for call in calls[:-1] if call.outcome in BILLED]
    for call in repeated:
        later = [each for each in calls if each.started_at > call.started_at]
        excused = _may_be_lost(simulator, call) or any(_made_after_stall(simulator, each) for each in later)
        simulator.expect(excused, f"call {call.number} for {prompt!r} was repeated without a reason")
    return len(repeated)


def _may_be_lost(simulator: "Simulator", call: Call) -> bool:
    """Return whether its instance was lost after the call was decided, or a store was unavailable."""
    return bool(STORE_FAULTS & simulator.fault_counts.keys()) or any(
        name == call.instance and end + RESUME_SECONDS >= call.started_at for end, name in simulator.losses
    )


def _made_after_stall(simulator: "Simulator", call: Call) -> bool:
    """Return whether a stall ended just before the call.

    An instance may stall between the check of its lease and the call. It then makes the call after the stall,
    although another instance has made it meanwhile.
    """
    return any(name == call.instance and 0 <= call.started_at - end <= RESUME_SECONDS for end, name in simulator.losses)


def _check_stopped(simulator: "Simulator", job: SimulatedJob, by_prompt: dict[str, list[Call]]) -> None:
    if {"stall", *STORE_FAULTS} & simulator.plan.faults:
        return  # an instance that stalls, or cannot read the documents, does not notice the stop in time
    for line in job.lines:
        for call in by_prompt.get(line.prompt, []):
            late = call.started_at - min(job.cancelled_at, job.deleted_at)
            simulator.expect(late <= MAX_STOP_SECONDS, f"{job.job_id}: a call {late:.1f} s after the stop")


def check_log(simulator: "Simulator") -> None:
    """Check that the log contains no secret and no unexpected error."""
    text = simulator.log.getvalue()
    simulator.expect(CANARY not in text, "the log contains no prompt and no key")
    for line in text.splitlines():
        fields = orjson.loads(line)
        simulator.expect(fields.get("error") in EXPECTED_ERRORS, f"the log contains only expected errors: {line}")
