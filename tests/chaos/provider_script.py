"""The scripts of the fake provider in a chaos run: a healthy one and a faulty one."""

import asyncio
import random
from collections import Counter

from aiohttp import web

from tests.chaos.config import Config
from tests.fakes import provider_faults
from tests.fakes.provider import Fault, Script

ALWAYS_FAILING = "that never works"

FAULTS: dict[str, tuple[float, Fault]] = {
    "500": (0.03, provider_faults.error_status(500)),
    "reset before the response": (0.01, provider_faults.reset_before_response),
    "reset in the response": (0.01, provider_faults.reset_during_response),
    "truncated JSON": (0.01, provider_faults.truncated),
    "HTML with 200": (0.01, provider_faults.html),
    "slow body": (0.005, provider_faults.slow_body(1.0)),
    "no response": (0.003, provider_faults.no_response),
    "429": (0.0005, provider_faults.error_status(429)),
    "429 with Retry-After": (0.001, provider_faults.error_status(429, retry_after=1)),
}
"""Each fault and its share of all calls. A 429 stops the calls of a whole process, so there are few of them."""


def healthy(config: Config) -> Script:
    """Return a script that completes every call after a latency."""

    async def script(prompt: str, call: int) -> None:
        await asyncio.sleep(_rng(config, prompt, call).uniform(*config.latency_seconds))

    return script


class FaultyScript:
    """A script with every fault.

    A prompt that always fails gets only 500. `fault_counts` counts the faults.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.fault_counts: Counter[str] = Counter()

    async def __call__(self, prompt: str, call: int) -> web.Response | Fault | None:
        rng = _rng(self._config, prompt, call)
        await asyncio.sleep(rng.uniform(*self._config.latency_seconds))
        if prompt.endswith(ALWAYS_FAILING):
            return self._count("500")
        drawn = rng.random()
        for name, (share, _) in FAULTS.items():
            if drawn < share:
                return self._count(name)
            drawn -= share
        return None

    def _count(self, name: str) -> Fault:
        self.fault_counts[name] += 1
        return FAULTS[name][1]


def _rng(config: Config, prompt: str, call: int) -> random.Random:
    """Return the same random numbers for the same call of the same prompt."""
    return random.Random(f"{config.seed} {prompt} {call}")
