"""The accounting of costs: no job and no client exceeds its limit, and every reservation is released."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from promptforge.domain.limits.pricing import NANOS_PER_USD, Price, token_cost
from promptforge.domain.limits.spend_quota import SpendQuota
from promptforge.domain.timeouts import TOTAL_REFRESH_SECONDS

if TYPE_CHECKING:
    from tests.simulation.jobs import SimulatedJob
    from tests.simulation.provider import Call
    from tests.simulation.simulator import Simulator

PRICE: Price = (10_000.0, 10_000.0)
TOKENS = (3, 4)
CALL_NANOS = token_cost(PRICE, *TOKENS)
CALL_USD = CALL_NANOS / NANOS_PER_USD
BILLED = ("answered", "prompt")
MAX_NOTICE_SECONDS = TOTAL_REFRESH_SECONDS + 3.0
LOSES_COSTS = {"stall", "outage", "response_lost", "clock_skew"}
"""Faults by which a worker loses a lease or the response to a write, and with it the costs since the last flush."""

DELAYS_COSTS = {*LOSES_COSTS, "unavailable", "slow_store"}
"""Faults by which a worker stalls or cannot read the total, so it notices the costs of other workers late."""


class CostAccounting:
    """The costs, limits and reservations, as the commits of a run show them.

    `_reservations` holds, by job id, the client, the quota day and the amount.
    `_limit_reached_at` holds when the cost of a job reached its limit.
    """

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        self._quotas: dict[str, SpendQuota] = {}
        self._costs: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._reservations: dict[str, tuple[str, str, int]] = {}
        self._limit_reached_at: dict[str, float] = {}

    async def set_daily_limit(self, client: str, calls: int) -> None:
        """Set the daily spend quota of a client to the price of some calls."""
        checker = self._simulator.checker
        await checker.context.quotas.set_daily_limit(client, calls * CALL_USD)
        for document in await checker.context.documents.query("clients", limit=10):
            checker.documents[document.path] = document.data

    def job_changed(self, job: Mapping[str, Any]) -> None:
        """Record the limit and the reservation of a job."""
        if job["max_cost_nanos"] is not None:
            self._limits[job["job_id"]] = job["max_cost_nanos"]
        if job["quota_day"]:
            amount = job["max_cost_nanos"] if job["open"] else job["cost_nanos"]
            self._reservations[job["job_id"]] = job["client"], job["quota_day"], amount

    def job_erased(self, job: Mapping[str, Any]) -> None:
        """Drop the reservation of a job that was deleted before any call."""
        if job["open"] and job["started_processing_at"] is None:
            self._reservations.pop(job["job_id"], None)

    def cost_added(self, job_id: str, nanos: int) -> None:
        """Add the cost of a chunk to its job."""
        self._costs[job_id] = self._costs.get(job_id, 0) + nanos
        if self._costs[job_id] >= self._limits.get(job_id, 2**63):
            self._limit_reached_at.setdefault(job_id, self._simulator.now)

    def quota_changed(self, path: str, new: Mapping[str, Any]) -> None:
        """Check and record the daily spend quota of a client."""
        quota = SpendQuota.model_validate(new)
        before = self._quotas.get(path, quota)
        self._simulator.expect(quota.day >= before.day, f"{path} does not go back to {quota.day}")
        self._simulator.expect(quota.reserved_nanos >= 0, f"{path} does not reserve {quota.reserved_nanos}")
        self._quotas[path] = quota

    def check_reservations(self) -> None:
        """Check that the reservations equal the costs of the jobs, after all of them have finished."""
        for path, quota in self._quotas.items():
            day = (quota.client, quota.day)
            expected = sum(nanos for *reserved_for, nanos in self._reservations.values() if tuple(reserved_for) == day)
            claim = f"{path} reserves {quota.reserved_nanos}, not {expected}"
            self._simulator.expect(quota.reserved_nanos == expected, claim)

    def check_job(self, job: "SimulatedJob", calls: "list[Call]") -> None:
        """Check the cost of a job and its limit.

        A worker with current totals makes no more calls itself than the limit covers. It makes no call after it had
        time to read the totals of the others. The cost and the stop match the calls.
        """
        expect, limit = self._simulator.expect, self._limits.get(job.job_id)
        billed = [call for call in calls if call.outcome in BILLED]
        cost = round((job.final.get("cost_usd") or 0) * NANOS_PER_USD)
        expect(cost <= len(billed) * CALL_NANOS, f"{job.job_id}: cost {cost} for {len(billed)} calls")
        if not self._simulator.plan.faults:
            expect(cost == len(billed) * CALL_NANOS, f"{job.job_id}: cost only {cost} for {len(billed)} calls")
        if limit is None:
            return
        if job.final.get("error") and job.final["error"]["code"] == "cost_limit":
            expect(len(billed) * CALL_NANOS >= limit, f"{job.job_id}: stopped after {len(billed)} calls of {limit}")
        if not LOSES_COSTS & self._simulator.plan.faults:
            self._check_instances(job, billed, math.ceil(limit / CALL_NANOS))
        if not DELAYS_COSTS & self._simulator.plan.faults:
            for call in calls:
                late = call.started_at - self._limit_reached_at.get(job.job_id, math.inf)
                expect(late <= MAX_NOTICE_SECONDS, f"{job.job_id}: a call {late:.1f} s after the limit was reached")

    def _check_instances(self, job: "SimulatedJob", billed: "list[Call]", limit: int) -> None:
        for instance in {call.instance for call in billed}:
            count = sum(call.instance == instance for call in billed)
            self._simulator.expect(count <= limit, f"{job.job_id}: {count} calls of {instance}, at most {limit}")
