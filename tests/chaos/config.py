"""The terms of a storm: how the engine is set while it is struck, and how often it is struck."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """Spans in seconds. Leases are shorter than by default, so that two of them are a short freeze."""

    lease: float = 6.0
    beat: float = 1.0
    in_flight: int = 32
    flush_answers: int = 10
    flush_seconds: float = 1.0
    chunk_lines: int = 50
    call_timeout: float = 30.0
    max_retries: int = 5
    workers: int = 2
    jobs_at_once: int = 3
    prompts_a_job: int = 1500
    latency: tuple[float, float] = (0.05, 0.3)
    recovery: float = 120.0
    seed: int = 1

    @property
    def freeze(self) -> float:
        """How long a worker is stopped."""
        return 2 * self.lease

    def environ(self, provider_url: str) -> dict[str, str]:
        """The engine's environment."""
        settings = {
            "LEASE_SECONDS": self.lease,
            "HEARTBEAT_SECONDS": self.beat,
            "MAX_IN_FLIGHT": self.in_flight,
            "FLUSH_COUNT": self.flush_answers,
            "FLUSH_SECONDS": self.flush_seconds,
            "CHUNK_LINES": self.chunk_lines,
            "CALL_TIMEOUT_SECONDS": self.call_timeout,
        }
        ours = {f"PROMPTFORGE_{name}": str(value) for name, value in settings.items()}
        return {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": provider_url, **ours}

    def lines(self) -> Iterator[str]:
        """The terms in words."""
        low, high = (1000 * seconds for seconds in self.latency)
        yield f"lease {self.lease:g} s, beat {self.beat:g} s (by default 60 and 10), so a freeze is {self.freeze:g} s"
        yield f"{self.workers} workers with {self.in_flight} calls in flight each, answers in {low:.0f}-{high:.0f} ms"
        yield f"flush at {self.flush_answers} answers or {self.flush_seconds:g} s, chunks of {self.chunk_lines} lines"
        yield f"{self.jobs_at_once} jobs at once with {self.prompts_a_job} prompts each, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """How often to strike with each signal."""

    kills: int
    stops: int
    terms: int

    def split(self) -> tuple["FaultCounts", "FaultCounts"]:
        """For two phases, the larger half first."""
        second = FaultCounts(self.kills // 2, self.stops // 2, self.terms // 2)
        return FaultCounts(self.kills - second.kills, self.stops - second.stops, self.terms - second.terms), second
