"""The money of a run: what calls cost, what may be spent, and that nothing is spent, or kept back, beyond that."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from promptforge.domain.limits.pricing import NANOS_PER_USD, Price, token_cost
from promptforge.domain.limits.spend_quota import SpendQuota
from promptforge.domain.timeouts import TOTAL_REFRESH_SECONDS

if TYPE_CHECKING:
    from tests.simulation.clients import Order
    from tests.simulation.provider import Call
    from tests.simulation.simulator import Simulator

PRICE: Price = (10_000.0, 10_000.0)
TOKENS = (3, 4)
CALL_NANOS = token_cost(PRICE, *TOKENS)
CALL_USD = CALL_NANOS / NANOS_PER_USD
BILLED = ("answered", "prompt")
HEAR_SECONDS = TOTAL_REFRESH_SECONDS + 3.0
FORGETFUL = {"freeze", "outage", "answer_lost", "clock_skew"}
"""Who loses a lease, or the answer to a write, may forget what itself has spent since the last flush."""

DEAF = {*FORGETFUL, "refused", "slow_store"}
"""Who stands still, or cannot read the sum, hears late of what others have spent."""


class CostAccounting:
    """What the commits of a run say of money."""

    def __init__(self, world: "Simulator") -> None:
        self._world = world
        self._allowances: dict[str, SpendQuota] = {}
        self._costs: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._promises: dict[str, tuple[str, str, int]] = {}  # by job: whose, of which day, how much
        self._spent_at: dict[str, float] = {}

    async def limit(self, client: str, calls: int) -> None:
        """Let a client spend only so much a day."""
        referee = self._world.referee
        await referee.app.quotas.set_daily_limit(client, calls * CALL_USD)
        for document in await referee.app.documents.query("clients", limit=10):
            referee.documents[document.path] = document.data

    def changed(self, job: Mapping[str, Any]) -> None:
        """A job was opened, or changed."""
        if job["max_cost_nanos"] is not None:
            self._limits[job["job_id"]] = job["max_cost_nanos"]
        if job["quota_day"]:
            amount = job["max_cost_nanos"] if job["open"] else job["cost_nanos"]
            self._promises[job["job_id"]] = job["client"], job["quota_day"], amount

    def erased(self, job: Mapping[str, Any]) -> None:
        """A job was deleted; it was as told before."""
        if job["open"] and job["started_processing_at"] is None:
            self._promises.pop(job["job_id"], None)

    def paid(self, job_id: str, amount: int) -> None:
        """A chunk of the job has cost so much more."""
        self._costs[job_id] = self._costs.get(job_id, 0) + amount
        if self._costs[job_id] >= self._limits.get(job_id, 2**63):
            self._spent_at.setdefault(job_id, self._world.now)

    def promised(self, path: str, new: Mapping[str, Any]) -> None:
        """An allowance was changed."""
        allowance = SpendQuota.model_validate(new)
        before = self._allowances.get(path, allowance)
        self._world.expect(allowance.day >= before.day, f"{path} goes back to {allowance.day}")
        self._world.expect(allowance.reserved_nanos >= 0, f"{path} has promised {allowance.reserved_nanos}")
        self._allowances[path] = allowance

    def check_rest(self) -> None:
        """When all jobs have ended, what is promised is what they have cost."""
        for path, allowance in self._allowances.items():
            of_day = (allowance.client, allowance.day)
            owed = sum(amount for *whose, amount in self._promises.values() if tuple(whose) == of_day)
            self._world.expect(
                allowance.reserved_nanos == owed, f"{path} keeps {allowance.reserved_nanos}, and {owed} are owed"
            )

    def check_job(self, order: "Order", calls: "list[Call]") -> None:
        """A process that hears of everything makes no call beyond the limit by what it pays itself, nor beyond what
        others have written a look ago; and a job is neither billed nor stopped for more than was called."""
        expect, limit = self._world.expect, self._limits.get(order.job_id)
        billed = [call for call in calls if call.outcome in BILLED]
        said = round((order.final.get("cost_usd") or 0) * NANOS_PER_USD)
        expect(said <= len(billed) * CALL_NANOS, f"{order.job_id}: {said} for {len(billed)} calls")
        if not self._world.plan.faults:
            expect(said == len(billed) * CALL_NANOS, f"{order.job_id}: only {said} for {len(billed)} calls")
        if limit is None:
            return
        if order.final.get("error") and order.final["error"]["code"] == "cost_limit":
            expect(len(billed) * CALL_NANOS >= limit, f"{order.job_id}: stopped after {len(billed)} calls of {limit}")
        if not FORGETFUL & self._world.plan.faults:
            self._check_machines(order, billed, math.ceil(limit / CALL_NANOS))
        if not DEAF & self._world.plan.faults:
            for call in calls:
                late = call.began - self._spent_at.get(order.job_id, math.inf)
                expect(late <= HEAR_SECONDS, f"{order.job_id}: a call {late:.1f} s after everything was spent")

    def _check_machines(self, order: "Order", billed: "list[Call]", most: int) -> None:
        for machine in {call.machine for call in billed}:
            count = sum(call.machine == machine for call in billed)
            self._world.expect(count <= most, f"{order.job_id}: {count} calls of {machine}, and {most} are enough")
