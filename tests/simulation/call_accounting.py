"""The accounts at the end of a run: every prompt answered once, every call accounted for, nothing secret said."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from promptforge.client.verify import verify
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES
from tests.simulation.clients import CANARY, Line, Order
from tests.simulation.provider import Call

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

STOPS = {
    "cancelled": "cancelled",
    "provider_account": "bad_key",
    "deadline_exceeded": None,
    "input_changed": "input_deleted",
    "cost_limit": "cost_limit",
}
"""Codes that may stand in place of any answer, and the fault that must have been there."""

FAILURES = {"provider_error", "provider_timeout"}
FORESEEN = {"Unavailable", "Conflict", "LeaseLost", "ObjectMissing", "ObjectExists", None}
HEED_SECONDS = 5.0
THAW_SECONDS = 1.0
STORE_FAULTS = {"outage", "refused", "answer_lost", "slow_store", "clock_skew"}
"""Where a store does not answer, or leases end too early, an answer may be lost on its way there."""
NO_RESULTS = {"upload_expired", "empty_input", "input_changed", "cancelled", "deadline_exceeded"}


def check_accounts(world: "Simulator", order: Order) -> None:
    """Every line of the input has one line in the output, of a kind that it may have."""
    final, expect = order.final, world.expect
    code = final["error"] and final["error"]["code"]
    if order.files is None:
        expect(code in NO_RESULTS and not final["prompt_count"], f"{order.job_id}: nothing to download, but {final}")
        return
    results = _lines(order, "results_part")
    errors = _lines(order, "errors")
    asked = [line for line in order.lines if line.kind != "blank"]
    expect(final["prompt_count"] == len(asked), f"{order.job_id}: {len(asked)} prompts, not {final['prompt_count']}")
    expect(final["completed_count"] == len(results), f"{order.job_id}: completed_count is the number of results")
    expect(final["failed_count"] == len(errors), f"{order.job_id}: failed_count is the number of errors")
    tokens = sum(line["tokens_used"] for line in results)
    expect(final["tokens_used"] == tokens, f"{order.job_id}: tokens_used is the sum over the results")
    expect((final["status"] == "COMPLETED") == (code is None), f"{order.job_id}: {final['status']} with {code}")
    if code not in STOPS:
        expect(
            (final["status"] == "COMPLETED") == bool(results), f"{order.job_id}: COMPLETED with {len(results)} results"
        )
    _check_lines(world, order, asked, results, errors)
    if not any(line["error"] == "input_changed" and line["prompt_id"] is None for line in errors):
        _check_verify(world, order)


def _check_lines(world: "Simulator", order: Order, asked: list[Line], results: list[Any], errors: list[Any]) -> None:
    expect, by_id = world.expect, {line["prompt_id"]: line for line in results}
    by_line = {line["line"]: line for line in errors}
    expect(len(by_id) == len(results) and len(by_line) == len(errors), f"{order.job_id}: no line twice")
    good = [line.prompt_id for line in asked if line.prompt and line.prompt_id in by_id]
    expect([line["prompt_id"] for line in results] == good, f"{order.job_id}: results in the order of the input")
    expect([line["line"] for line in errors] == sorted(by_line), f"{order.job_id}: errors in the order of the input")
    unreadable = sum(line["error"] == "input_changed" and line["prompt_id"] is None for line in errors)
    for line in asked:
        if line.prompt and line.prompt_id in by_id:
            said = by_id[line.prompt_id]["result"]
            expect(
                line.kind == "prompt" and said.startswith(line.prompt), f"{order.job_id}: {line.prompt_id} got {said}"
            )
        elif line.number in by_line:
            _check_error(world, order, line, by_line[line.number])
        else:
            unreadable -= 1  # where blank lines stood is gone with the input
            expect(unreadable >= 0, f"{order.job_id}: line {line.number} is lost")


def _check_error(world: "Simulator", order: Order, line: Line, error: dict[str, Any]) -> None:
    code, faults = error["error"], world.plan.faults
    if code in STOPS:
        allowed = STOPS[code] is None or STOPS[code] in faults
    elif code == "worker_crash" and line.kind == "prompt":
        allowed = "clock_skew" in world.fired or _struck(world) >= MAX_ISOLATED_CRASHES
    elif line.kind == "prompt":
        allowed = code in FAILURES
    else:
        codes = {"refusal": "prompt_rejected", "poison": "worker_crash", "hopeless": "provider_error"}
        allowed = code == codes.get(line.kind, line.kind) or (bool(line.prompt) and code in FAILURES)
    world.expect(allowed, f"{order.job_id}: line {line.number}, a {line.kind}, got {code}")
    most = order.max_retries + 1
    world.expect(error["attempts"] <= most, f"{order.job_id}: {error['attempts']} attempts, at most {most}")
    whose = error["prompt_id"] in (line.prompt_id, None if code == "input_changed" else line.prompt_id)
    world.expect(whose, f"{order.job_id}: line {line.number} is answered for {error['prompt_id']}")


def _struck(world: "Simulator") -> int:
    """How often a machine died, or could not renew its leases, for no prompt's fault: so often in the middle of the
    same prompt, and the prompt is blamed. Where clocks are minutes apart, who is alive looks dead."""
    return sum(world.fired[name] for name in ("crash", "freeze", "sigterm")) + len(world.plan.outages)


def _check_verify(world: "Simulator", order: Order) -> None:
    """What the product itself tells its user must agree. Where blank lines stood is gone when the input is."""
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        for name, content in (order.files or {}).items():
            (Path(folder) / name).write_bytes(content)
        (Path(folder) / "input").write_bytes(order.content)
        verdict = verify(Path(folder) / "input", Path(folder))
    world.expect(not verdict.faults, f"{order.job_id}: verify says {verdict.faults[:3]}")


def check_calls(world: "Simulator", orders: list[Order]) -> int:
    """No call without need: how many were paid a second time, each for a reason that was there."""
    by_prompt: dict[str, list[Call]] = defaultdict(list)
    for call in world.calls:
        by_prompt[call.prompt].append(call)
    asked = {line.prompt: order for order in orders for line in order.lines if line.prompt}
    again = 0
    for prompt, calls in by_prompt.items():
        order = asked.get(prompt)
        world.expect(order is not None, f"no call was ordered for {prompt!r}")
        lost = [call for call in calls[:-1] if call.outcome in ("answered", "lost", "prompt")]
        again += len(lost)
        for call in lost:
            excused = _excused(world, call) or any(_thawed(world, each) for each in calls if each.began > call.began)
            world.expect(excused, f"call {call.serial} for {prompt!r} was made again without need")
        if order and not STORE_FAULTS & world.fired.keys():
            failures = sum(call.outcome == "unknown" for call in calls)
            most = (order.max_retries + 1) * (1 + len(world.losses))  # who dies takes what it had counted along
            world.expect(failures <= most, f"{failures} failures of {prompt!r}")
    for order in orders:
        _check_cancelled(world, order, by_prompt)
        world.money.check_job(order, [call for line in order.lines for call in by_prompt.get(line.prompt, [])])
    if not world.plan.faults:
        needed = {line.prompt for order in orders for line in order.lines if line.prompt}
        world.expect(len(world.calls) == len(needed) == len(by_prompt), "without faults every prompt is called once")
    return again


def _excused(world: "Simulator", call: Call) -> bool:
    """Whether its machine was lost after the call was decided on, or a store was not to be had."""
    return bool(STORE_FAULTS & world.fired.keys()) or any(
        name == call.machine and until + THAW_SECONDS >= call.began for until, name in world.losses
    )


def _thawed(world: "Simulator", call: Call) -> bool:
    """A machine that stands still between its last look at the lease and the call makes the call when it goes on,
    though another has made it meanwhile."""
    return any(name == call.machine and 0 <= call.began - until <= THAW_SECONDS for until, name in world.losses)


def _check_cancelled(world: "Simulator", order: Order, by_prompt: dict[str, list[Call]]) -> None:
    if {"freeze", *STORE_FAULTS} & world.plan.faults:
        return  # a machine that cannot read the documents, or stands still, cannot hear of it
    for line in order.lines:
        for call in by_prompt.get(line.prompt, []):
            late = call.began - min(order.cancelled_at, order.deleted_at)
            world.expect(late <= HEED_SECONDS, f"{order.job_id}: a call {late:.1f} s after it was to be stopped")


def check_log(world: "Simulator") -> None:
    """Nothing secret, nothing unforeseen."""
    text = world.log.getvalue()
    world.expect(CANARY not in text, "the log holds no prompt and no key")
    for line in text.splitlines():
        data = orjson.loads(line)
        world.expect(data.get("error") in FORESEEN, f"the log tells of {line}")


def _lines(order: Order, prefix: str) -> list[Any]:
    files = order.files or {}
    return [
        orjson.loads(line) for name in sorted(files) if name.startswith(prefix) for line in files[name].splitlines()
    ]
