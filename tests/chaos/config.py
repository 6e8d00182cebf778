"""The configuration of a chaos run: the settings of the engine, the load and the number of faults."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """The settings and the load.

    Leases are shorter than by default, so that a suspension of two leases is short.
    """

    lease_seconds: float = 6.0
    heartbeat_seconds: float = 1.0
    max_in_flight: int = 32
    flush_count: int = 10
    flush_seconds: float = 1.0
    chunk_lines: int = 50
    call_timeout_seconds: float = 30.0
    max_retries: int = 5
    workers: int = 2
    concurrent_jobs: int = 3
    prompts_per_job: int = 1500
    latency_seconds: tuple[float, float] = (0.05, 0.3)
    recovery_seconds: float = 120.0
    seed: int = 1

    @property
    def suspension_seconds(self) -> float:
        """The time for which a worker is suspended."""
        return 2 * self.lease_seconds

    def environ(self, provider_url: str) -> dict[str, str]:
        """Return the environment of the engine."""
        settings = {
            "LEASE_SECONDS": self.lease_seconds,
            "HEARTBEAT_SECONDS": self.heartbeat_seconds,
            "MAX_IN_FLIGHT": self.max_in_flight,
            "FLUSH_COUNT": self.flush_count,
            "FLUSH_SECONDS": self.flush_seconds,
            "CHUNK_LINES": self.chunk_lines,
            "CALL_TIMEOUT_SECONDS": self.call_timeout_seconds,
        }
        variables = {f"PROMPTFORGE_{name}": str(value) for name, value in settings.items()}
        return {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": provider_url, **variables}

    def describe(self) -> Iterator[str]:
        """Yield the configuration in words."""
        low, high = (1000 * seconds for seconds in self.latency_seconds)
        yield (
            f"lease {self.lease_seconds:g} s, heartbeat {self.heartbeat_seconds:g} s (by default 60 and 10), "
            f"so a suspension takes {self.suspension_seconds:g} s"
        )
        yield f"{self.workers} workers with {self.max_in_flight} calls in flight each, latency {low:.0f}-{high:.0f} ms"
        yield f"flush at {self.flush_count} answers or {self.flush_seconds:g} s, chunks of {self.chunk_lines} lines"
        yield f"{self.concurrent_jobs} concurrent jobs with {self.prompts_per_job} prompts each, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """The number of faults with each signal."""

    kills: int
    stops: int
    terms: int

    def split(self) -> tuple["FaultCounts", "FaultCounts"]:
        """Divide the faults between two phases.

        The first one gets the larger half.
        """
        second = FaultCounts(self.kills // 2, self.stops // 2, self.terms // 2)
        return FaultCounts(self.kills - second.kills, self.stops - second.stops, self.terms - second.terms), second
