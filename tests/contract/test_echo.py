import random

import pytest

from promptforge.adapters.llm.echo import EchoProvider, build
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from promptforge.settings import Settings
from tests.harness.clock import ManualClock

PROMPTS = [f"prompt number {number}" for number in range(1000)]


def echo(seed: int = 1, **given: float) -> EchoProvider:
    return build(Settings.from_env({}, **given), ManualClock(), random.Random(seed))


async def outcomes(provider: EchoProvider) -> list[Completion | CallFailure]:
    return [await provider.complete(CompletionRequest("echo-1", prompt), 10.0) for prompt in PROMPTS]


def failed(found: list[Completion | CallFailure], kind: FailureKind) -> set[int]:
    return {at for at, outcome in enumerate(found) if isinstance(outcome, CallFailure) and outcome.kind is kind}


@pytest.mark.parametrize("prompt", ["hello", " two  words ", "\u4e2d\u6587", "a\nb\x00c", "\u2028", "x" * 100_000])
async def test_echo_completion_returns_prompt(prompt: str) -> None:
    words = len(prompt.split())

    assert await echo().complete(CompletionRequest("echo-1", prompt), 10.0) == Completion(
        prompt, "echo-1", words, words
    )


async def test_echo_failure_rate_fails_same_prompts_in_every_process() -> None:
    one = await outcomes(echo(seed=1, echo_failure_rate=0.3))
    other = await outcomes(echo(seed=2, echo_failure_rate=0.3))

    assert one == other


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
async def test_echo_failure_rate_fails_expected_share(rate: float) -> None:
    share = len(failed(await outcomes(echo(echo_failure_rate=rate)), FailureKind.UNKNOWN)) / len(PROMPTS)

    assert abs(share - rate) < 0.05


async def test_echo_higher_failure_rate_fails_superset() -> None:
    few = failed(await outcomes(echo(echo_failure_rate=0.1)), FailureKind.UNKNOWN)
    many = failed(await outcomes(echo(echo_failure_rate=0.4)), FailureKind.UNKNOWN)

    assert few < many


async def test_echo_throttle_rate_throttles_expected_share_and_passes_later() -> None:
    provider = echo(echo_throttle_rate=0.3)

    first = failed(await outcomes(provider), FailureKind.THROTTLED)
    second = failed(await outcomes(provider), FailureKind.THROTTLED)

    assert abs(len(first) / len(PROMPTS) - 0.3) < 0.05
    assert first != second


async def test_echo_throttling_does_not_affect_failures() -> None:
    quiet = failed(await outcomes(echo(echo_failure_rate=0.3)), FailureKind.UNKNOWN)
    found = await outcomes(echo(echo_failure_rate=0.3, echo_throttle_rate=0.3))

    assert failed(found, FailureKind.UNKNOWN) == quiet - failed(found, FailureKind.THROTTLED)


async def test_echo_completion_within_timeout_succeeds() -> None:
    provider = echo(echo_latency_seconds=0.01)

    assert isinstance(await provider.complete(CompletionRequest("echo-1", "x"), 10.0), Completion)
