"""A circuit breaker for one model of a provider: blocked until when, why, and whether the key is accepted."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from promptforge.domain.job import JobError
from promptforge.domain.retry import FailureKind, outage_seconds, throttle_seconds
from promptforge.domain.timeouts import PROBE_SECONDS
from promptforge.ports.provider import CallFailure
from promptforge.worker.concurrency_limit import ConcurrencyLimit
from promptforge.worker.failure_run import FailureRun, PromptKey

SEQUENTIAL_REJECTIONS = 20
"""Calls run one at a time until one succeeds, or until this many different answers were rejections of prompts."""

MAX_ACCOUNT_REJECTIONS = 5
"""After this many probes in a row that were rejected, an accepted key counts as rejected."""


class CircuitBreaker:
    """Blocked by throttled calls, outages and rejections, open to calls again after a time.

    Times are those of the event loop. One cause hits many calls in flight; only a call that began after the last block
    makes the wait grow. Until one call succeeds, calls run one at a time: a rejected key costs one call, not one for
    each slot. A call still running after PROBE_SECONDS counts as accepted, because key errors return quickly. In an
    outage one call at a time tests whether the provider is back.
    """

    def __init__(self, rng: random.Random, max_in_flight: int) -> None:
        self._rng = rng
        self._blocked_at = float("-inf")
        self._blocks_in_a_row = 0
        self._open_to_many = False
        self._rejected_prompts = 0
        self._probe: asyncio.Event | None = None
        self._faults = FailureRun()
        self._rejections = FailureRun()
        self.account_rejections = 0
        self.accepted = False
        self.concurrency = ConcurrencyLimit(max_in_flight)
        self.blocked_until = float("-inf")
        self.block_reason: JobError | None = None

    def is_blocked(self, now: float) -> bool:
        """Whether no call may start now."""
        return self.blocked_until > now or self._probe is not None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Surround each call.

        It starts while the breaker is not blocked.
        """
        if self._open_to_many:
            yield
            return
        probe = self._probe = asyncio.Event()
        timer = None
        if not self._faults.common_cause:
            timer = asyncio.get_running_loop().call_later(PROBE_SECONDS, self._open)
        try:
            yield
        finally:
            if timer:
                timer.cancel()
            probe.set()
            self._probe = None if self._probe is probe else self._probe

    async def wait_for_probe(self) -> None:
        """Wait while the first call runs alone."""
        if self._probe:
            await self._probe.wait()

    def succeeded(self, began_at: float, now: float) -> None:
        """Record an answer."""
        self.accepted = True
        self.account_rejections = 0
        self._end_runs()
        self.concurrency.succeeded(now)
        if began_at > self._blocked_at:
            self._blocks_in_a_row = 0
        self._open()

    def rejected_prompt(self) -> None:
        """Record a rejection of one prompt: the provider works, and it accepts the key."""
        self.accepted = True
        if self._faults.common_cause:
            self._open()
        self._faults.end()
        self._faults = FailureRun()
        self._rejected_prompts += 1
        if self._rejected_prompts >= SEQUENTIAL_REJECTIONS:
            self._open()

    def faulted(self, prompt: PromptKey, began_at: float, now: float, failure: CallFailure) -> FailureRun:
        """Record a fault of the provider.

        Returns the run that decides whether the fault belongs to the prompt.
        """
        run = self._faults
        run.add(prompt)
        if run.common_cause:
            self._open_to_many = False
            self._block(began_at, now, failure, outage_seconds(self._blocks_in_a_row, self._rng))
        return run

    def rejected_account(
        self, prompt: PromptKey, began_at: float, now: float, failure: CallFailure
    ) -> FailureRun | None:
        """Record a rejection of the account.

        Returns None if the key was never accepted, or if no later call can succeed. Calls are then blocked until the
        job can be stopped. Otherwise returns the run that decides whether the rejection belongs to the prompt. Calls
        are blocked and the key is tested again, unless the rejection may be the prompt's.
        """
        if not self.accepted or failure.final:
            self._block(began_at, now, failure, outage_seconds(self._blocks_in_a_row, self._rng))
            return None
        run = self._rejections
        run.add(prompt)
        if run.common_cause or not failure.maybe_request_specific:
            if began_at > self._blocked_at:
                self.account_rejections += 1
            self._open_to_many = False
            self._block(began_at, now, failure, outage_seconds(self._blocks_in_a_row, self._rng))
        return run

    def timed_out(self, began_at: float, now: float, failure: CallFailure) -> bool:
        """Record a timeout.

        Returns whether the load caused it. Calls are then blocked, so that the server can finish those it has.
        """
        overload = self.concurrency.is_overload(began_at, now)
        if overload and (lone := self.concurrency.lone_timeouts) > 1:
            self.block_reason = JobError(code=failure.code, message=failure.message)
            self.blocked_until = max(self.blocked_until, now + (lone - 1) * (now - began_at))
        return overload

    def throttled(self, began_at: float, now: float, failure: CallFailure) -> None:
        """Block after a call that was throttled or could not be sent."""
        if failure.kind is FailureKind.NOT_SENT:
            self._open_to_many = False
        wait = throttle_seconds(failure.retry_after_seconds, self._blocks_in_a_row + 1, self._rng)
        self._block(began_at, now, failure, wait, also_late=failure.retry_after_seconds is not None)

    def _block(
        self, began_at: float, now: float, failure: CallFailure, seconds: float, also_late: bool = False
    ) -> None:
        self.block_reason = JobError(code=failure.code, message=failure.message)
        if began_at > self._blocked_at:
            self._blocks_in_a_row += 1
            self._blocked_at = now
        elif not also_late:
            return
        self.blocked_until = max(self.blocked_until, now + seconds)

    def _end_runs(self) -> None:
        for run in (self._faults, self._rejections):
            run.end()
        self._faults, self._rejections = FailureRun(), FailureRun()

    def _open(self) -> None:
        self._open_to_many = True
        if self._probe:
            self._probe.set()
            self._probe = None
