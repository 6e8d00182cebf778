"""What the scripted provider does during a storm."""

import asyncio
import random
from collections import Counter

from aiohttp import web

from tests.chaos.config import Config
from tests.fakes import provider_faults
from tests.fakes.provider import Fault, Script

HOPELESS = "that never works"

PLAYS: dict[str, tuple[float, Fault]] = {
    "500": (0.03, provider_faults.error_status(500)),
    "reset before the answer": (0.01, provider_faults.reset_before_response),
    "reset in the answer": (0.01, provider_faults.reset_during_response),
    "truncated JSON": (0.01, provider_faults.truncated),
    "HTML with 200": (0.01, provider_faults.html),
    "slow drip, good": (0.005, provider_faults.slow_body(1.0)),
    "hang": (0.003, provider_faults.no_response),
    "429": (0.0005, provider_faults.error_status(429)),
    "429 with Retry-After": (0.001, provider_faults.error_status(429, retry_after=1)),
}
"""Each fault and how often it is played, as a part of all calls. A 429 quiets a whole process, so there are few."""


def healthy(terms: Config) -> Script:
    """Only slow."""

    async def act(prompt: str, call: int) -> None:
        await asyncio.sleep(_rng(terms, prompt, call).uniform(*terms.latency))

    return act


class FaultyProvider:
    """Slow, and with all the faults there are; a hopeless prompt gets nothing but 500. `played` counts them."""

    def __init__(self, terms: Config) -> None:
        self._terms = terms
        self.played: Counter[str] = Counter()

    async def __call__(self, prompt: str, call: int) -> web.Response | Fault | None:
        rng = _rng(self._terms, prompt, call)
        await asyncio.sleep(rng.uniform(*self._terms.latency))
        if prompt.endswith(HOPELESS):
            return self._note("500")
        drawn = rng.random()
        for name, (share, _) in PLAYS.items():
            if drawn < share:
                return self._note(name)
            drawn -= share
        return None

    def _note(self, name: str) -> Fault:
        self.played[name] += 1
        return PLAYS[name][1]


def _rng(terms: Config, prompt: str, call: int) -> random.Random:
    """The same for the same call of the same prompt, whenever it comes."""
    return random.Random(f"{terms.seed} {prompt} {call}")
