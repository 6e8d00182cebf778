import asyncio

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.contract.provider_bench import ProviderBench

QUESTION = CompletionRequest("gpt-x", "Why is the sky blue?")
PATIENT_SECONDS = 10.0


async def test_a_question_is_answered_with_text_a_model_and_tokens(bench: ProviderBench) -> None:
    answer = await bench.answering().complete(QUESTION, PATIENT_SECONDS)

    assert isinstance(answer, Completion)
    assert answer.text
    assert answer.model.startswith("gpt-x")
    assert answer.input_tokens > 0
    assert answer.output_tokens > 0


async def test_many_questions_are_answered_at_once(bench: ProviderBench) -> None:
    provider = bench.answering()

    answers = await asyncio.gather(*(provider.complete(QUESTION, PATIENT_SECONDS) for _ in range(100)))

    assert all(isinstance(answer, Completion) for answer in answers)


async def test_a_call_is_ended_by_its_deadline_and_may_have_been_paid(bench: ProviderBench) -> None:
    provider, loop = bench.hanging(), asyncio.get_running_loop()

    began_at = loop.time()
    failure = await provider.complete(QUESTION, 0.1)

    assert loop.time() - began_at < 2.0
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNKNOWN, "provider_timeout")


async def test_a_call_that_is_cancelled_ends_at_once(bench: ProviderBench) -> None:
    call = asyncio.create_task(bench.hanging().complete(QUESTION, PATIENT_SECONDS))
    await asyncio.wait([call], timeout=0.05)

    call.cancel()
    await asyncio.wait([call], timeout=2.0)

    assert call.cancelled()


async def test_to_be_told_to_wait_is_a_throttle(bench: ProviderBench) -> None:
    failure = await bench.throttling().complete(QUESTION, PATIENT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.THROTTLED, "throttled")


async def test_a_fault_of_the_provider_may_have_been_paid(bench: ProviderBench) -> None:
    failure = await bench.failing().complete(QUESTION, PATIENT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.UNKNOWN, "provider_error")


async def test_a_failure_does_not_repeat_the_prompt(bench: ProviderBench) -> None:
    for provider in (bench.throttling(), bench.failing()):
        failure = await provider.complete(QUESTION, PATIENT_SECONDS)

        assert isinstance(failure, CallFailure)
        assert QUESTION.prompt not in repr(failure)
        assert failure.message.endswith(".")


async def test_closing_twice_or_unused_is_harmless_to_it_and_to_others(bench: ProviderBench) -> None:
    unused, used, other = bench.answering(), bench.answering(), bench.answering()
    await used.complete(QUESTION, PATIENT_SECONDS)

    for provider in (unused, used):
        await provider.close()
        await provider.close()

    assert isinstance(await other.complete(QUESTION, PATIENT_SECONDS), Completion)
