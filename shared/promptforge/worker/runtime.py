"""The state that one process shares among the chunks it processes."""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

from promptforge.context import AppContext, monotonic_time
from promptforge.domain.job import Job
from promptforge.domain.lru_cache import LruCache
from promptforge.ports.provider import Provider
from promptforge.worker.call_slots import CallSlots
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.concurrency_limit import ConcurrencyLimit
from promptforge.worker.cost_budget import CostBudget
from promptforge.worker.job_rejections import JobRejections
from promptforge.worker.storage_health import StorageHealth

MAX_CIRCUIT_BREAKERS = 1000
"""Clients name models, so not all can be remembered."""

MAX_JOBS = 1000


class WorkerRuntime:
    """Providers, call slots, circuit breakers and cost budgets of a process.

    `make_provider` creates a provider by name. `instance` names the process in the leases that it holds.
    `isolation_lock` is held by the one isolated chunk that the process runs.
    """

    def __init__(
        self, context: AppContext, make_provider: Callable[[str], Provider], instance: str | None = None
    ) -> None:
        self.context = context
        self.instance = instance or secrets.token_hex(8)
        self.call_slots = CallSlots(context.settings.max_in_flight)
        self.isolation_lock = asyncio.Lock()
        self.storage = StorageHealth(2 * context.settings.flush_seconds)
        self._job_limits: LruCache[str, ConcurrencyLimit] = LruCache(MAX_JOBS)
        self._make_provider = make_provider
        self._providers: dict[str, Provider] = {}
        self._breakers: LruCache[tuple[str, str], CircuitBreaker] = LruCache(MAX_CIRCUIT_BREAKERS)
        self._budgets: LruCache[str, CostBudget] = LruCache(MAX_JOBS)
        self._rejections: LruCache[str, JobRejections] = LruCache(MAX_JOBS)

    def provider(self, name: str) -> Provider:
        """Return the provider of that name, created at the first call."""
        if name not in self._providers:
            self._providers[name] = self._make_provider(name)
        return self._providers[name]

    def circuit_breaker(self, provider: str, model: str) -> CircuitBreaker:
        """Return the circuit breaker of a provider's model."""
        return self._breakers.get_or_create(
            (provider, model), lambda: CircuitBreaker(self.context.rng, self.context.settings.max_in_flight)
        )

    def _new_breaker(self) -> CircuitBreaker:
        return CircuitBreaker(self.context.rng, self.context.settings.max_in_flight)

    def cost_budget(self, job: Job) -> CostBudget:
        """Return the cost budget of a job in this process."""
        total = partial(self.context.chunks.total_cost, job.job_id)
        return self._budgets.get_or_create(job.job_id, lambda: CostBudget(job.max_cost_nanos, total, monotonic_time))

    def job_limit(self, job: Job) -> ConcurrencyLimit:
        """Return the limit of concurrent calls of a job in this process."""
        limit = job.max_in_flight or self.context.settings.max_in_flight
        return self._job_limits.get_or_create(job.job_id, lambda: ConcurrencyLimit(limit))

    def job_rejections(self, job: Job) -> JobRejections:
        """Return the rejections of a job's prompts in this process."""
        return self._rejections.get_or_create(job.job_id, JobRejections)

    async def close(self) -> None:
        """Close the providers' connections."""
        for provider in self._providers.values():
            await provider.close()
