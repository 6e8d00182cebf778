"""The state that a process shares among its chunks: circuit breakers, cost budgets and providers, each bounded."""

import weakref
from pathlib import Path

from promptforge.worker.runtime import MAX_CIRCUIT_BREAKERS, MAX_COST_BUDGETS
from tests.harness.in_process import in_process_stack


async def test_runtime_circuit_breakers_of_many_models_drop_the_oldest(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        first = weakref.ref(one.runtime.circuit_breaker("echo", "first"))
        assert one.runtime.circuit_breaker("echo", "first") is first()
        for number in range(2 * MAX_CIRCUIT_BREAKERS):
            one.runtime.circuit_breaker("echo", f"model-{number}")

        assert first() is None


async def test_runtime_circuit_breaker_in_use_outlives_unused_ones(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        used = one.runtime.circuit_breaker("echo", "used")
        for number in range(2 * MAX_CIRCUIT_BREAKERS):
            one.runtime.circuit_breaker("echo", f"model-{number}")
            assert one.runtime.circuit_breaker("echo", "used") is used


async def test_runtime_circuit_breakers_differ_by_provider_and_model(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        keys = [("echo", "a"), ("echo", "b"), ("openai", "a")]

        assert len({id(one.runtime.circuit_breaker(*key)) for key in keys}) == 3


async def test_runtime_cost_budgets_of_many_jobs_drop_the_oldest(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job = await one.job((await one.init())["job_id"])
        first = weakref.ref(one.runtime.cost_budget(job))
        assert one.runtime.cost_budget(job) is first()
        for number in range(MAX_COST_BUDGETS):
            one.runtime.cost_budget(job.model_copy(update={"job_id": f"job-{number}"}))

        assert first() is None


async def test_runtime_provider_is_created_once(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        assert one.runtime.provider("echo") is one.runtime.provider("echo")
