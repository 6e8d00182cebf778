"""The state that a process shares among its chunks: circuit breakers, budgets, limits and providers."""

import weakref
from contextlib import ExitStack
from pathlib import Path

import pytest

from promptforge.worker.runtime import MAX_CIRCUIT_BREAKERS, MAX_JOBS
from tests.harness.in_process import in_process_stack


async def test_runtime_circuit_breakers_of_many_models_drop_the_oldest(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        first = weakref.ref(stack.runtime.circuit_breaker("echo", "first"))
        assert stack.runtime.circuit_breaker("echo", "first") is first()
        for number in range(2 * MAX_CIRCUIT_BREAKERS):
            stack.runtime.circuit_breaker("echo", f"model-{number}")

        assert first() is None


async def test_runtime_circuit_breaker_in_use_outlives_unused_ones(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        used = stack.runtime.circuit_breaker("echo", "used")
        for number in range(2 * MAX_CIRCUIT_BREAKERS):
            stack.runtime.circuit_breaker("echo", f"model-{number}")
            assert stack.runtime.circuit_breaker("echo", "used") is used


async def test_runtime_circuit_breakers_differ_by_provider_and_model(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        keys = [("echo", "a"), ("echo", "b"), ("openai", "a")]

        assert len({id(stack.runtime.circuit_breaker(*key)) for key in keys}) == 3


async def test_runtime_cost_budgets_of_many_jobs_drop_the_oldest(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job = await stack.job((await stack.init())["job_id"])
        first = weakref.ref(stack.runtime.cost_budget(job))
        assert stack.runtime.cost_budget(job) is first()
        for number in range(MAX_JOBS):
            stack.runtime.cost_budget(job.model_copy(update={"job_id": f"job-{number}"}))

        assert first() is None


async def test_runtime_limits_of_many_jobs_drop_the_oldest(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job = await stack.job((await stack.init())["job_id"])
        limit, rejections = weakref.ref(stack.runtime.job_limit(job)), weakref.ref(stack.runtime.job_rejections(job))
        assert stack.runtime.job_limit(job) is limit()
        assert stack.runtime.job_rejections(job) is rejections()
        for number in range(MAX_JOBS):
            other = job.model_copy(update={"job_id": f"job-{number}"})
            stack.runtime.job_limit(other)
            stack.runtime.job_rejections(other)

        assert (limit(), rejections()) == (None, None)


@pytest.mark.parametrize(("max_in_flight", "calls"), [(2, 2), (None, 3)])
async def test_runtime_job_limit_is_that_of_the_job_or_else_of_the_process(
    tmp_path: Path, max_in_flight: int | None, calls: int
) -> None:
    async with in_process_stack(tmp_path, max_in_flight=3) as stack:
        job = (await stack.job((await stack.init())["job_id"])).model_copy(update={"max_in_flight": max_in_flight})
        limit = stack.runtime.job_limit(job)
        with ExitStack() as running:
            for _ in range(calls):
                assert not limit.is_reached
                running.enter_context(limit.call())

            assert limit.is_reached


async def test_runtime_provider_is_created_once(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        assert stack.runtime.provider("echo") is stack.runtime.provider("echo")
