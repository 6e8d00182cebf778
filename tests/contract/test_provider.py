import asyncio

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.contract.provider_bench import ProviderBench

QUESTION = CompletionRequest("gpt-x", "Why is the sky blue?")
PATIENT_SECONDS = 10.0


async def test_provider_complete_returns_text_model_and_tokens(bench: ProviderBench) -> None:
    answer = await bench.answering().complete(QUESTION, PATIENT_SECONDS)

    assert isinstance(answer, Completion)
    assert answer.text
    assert answer.model.startswith("gpt-x")
    assert answer.input_tokens > 0
    assert answer.output_tokens > 0


async def test_provider_concurrent_calls_are_answered(bench: ProviderBench) -> None:
    provider = bench.answering()

    answers = await asyncio.gather(*(provider.complete(QUESTION, PATIENT_SECONDS) for _ in range(100)))

    assert all(isinstance(answer, Completion) for answer in answers)


async def test_provider_call_ends_at_timeout_as_unknown(bench: ProviderBench) -> None:
    provider, loop = bench.hanging(), asyncio.get_running_loop()

    began_at = loop.time()
    failure = await provider.complete(QUESTION, 0.1)

    assert loop.time() - began_at < 2.0
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNKNOWN, "provider_timeout")


async def test_provider_cancelled_call_ends_at_once(bench: ProviderBench) -> None:
    call = asyncio.create_task(bench.hanging().complete(QUESTION, PATIENT_SECONDS))
    await asyncio.wait([call], timeout=0.05)

    call.cancel()
    await asyncio.wait([call], timeout=2.0)

    assert call.cancelled()


async def test_provider_429_is_throttled(bench: ProviderBench) -> None:
    failure = await bench.throttling().complete(QUESTION, PATIENT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.THROTTLED, "throttled")


async def test_provider_server_error_is_unknown(bench: ProviderBench) -> None:
    failure = await bench.failing().complete(QUESTION, PATIENT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNKNOWN, "provider_error")


async def test_provider_failure_does_not_contain_prompt(bench: ProviderBench) -> None:
    for provider in (bench.throttling(), bench.failing()):
        failure = await provider.complete(QUESTION, PATIENT_SECONDS)

        assert isinstance(failure, CallFailure)
        assert QUESTION.prompt not in repr(failure)
        assert failure.message.endswith(".")


async def test_provider_close_is_idempotent(bench: ProviderBench) -> None:
    unused, used, other = bench.answering(), bench.answering(), bench.answering()
    await used.complete(QUESTION, PATIENT_SECONDS)

    for provider in (unused, used):
        await provider.close()
        await provider.close()

    assert isinstance(await other.complete(QUESTION, PATIENT_SECONDS), Completion)
