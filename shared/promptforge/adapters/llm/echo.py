"""A provider that answers with the prompt itself.

It needs no key and serves demos and tests. Settings add latency and failures.
"""

import asyncio
import hashlib
import random

from promptforge.domain.retry import FailureKind
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from promptforge.settings import Settings


class EchoProvider:
    """The same prompt always gets the same answer or the same failure; a throttled call may succeed later."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng

    async def complete(self, request: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        if self._settings.echo_latency_seconds:
            await asyncio.sleep(min(self._settings.echo_latency_seconds, timeout_seconds))
            if self._settings.echo_latency_seconds > timeout_seconds:
                return CallFailure(FailureKind.UNKNOWN, "provider_timeout", "The provider did not answer in time.")
        if self._rng.random() < self._settings.echo_throttle_rate:
            return CallFailure(FailureKind.THROTTLED, "throttled", "The provider throttled the call.")
        text = request.prompt or request.messages[-1].content
        if _fraction(text) < self._settings.echo_failure_rate:
            return CallFailure(
                FailureKind.UNKNOWN, "provider_error", "The echo provider fails this prompt (ECHO_FAILURE_RATE)."
            )
        words = len(text.split())
        return Completion(text, request.model, input_tokens=words, output_tokens=words)

    async def close(self) -> None:
        return None


def build(settings: Settings, clock: Clock, rng: random.Random) -> EchoProvider:
    """Return the provider."""
    return EchoProvider(settings, rng)


def _fraction(prompt: str) -> float:
    """Return a number in [0, 1) that depends on the prompt alone."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:6]) / 2**48
