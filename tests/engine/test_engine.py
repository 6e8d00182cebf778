"""The engine as users run it: real processes, which the tests kill."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.provider import answer_after, fake_provider
from tests.harness.engine_process import Engine, engine, run_cli, start_engine, stop_engine, suspend
from tests.harness.lines import parse_lines, prompts

from promptforge.client.async_client import AsyncClient, RequestFailed

FINAL = ("COMPLETED", "FAILED")


async def submit(running: Engine, path: Path, provider: str = "echo") -> str:
    async with AsyncClient(running.url, running.key) as client:
        job = await client.init(provider, "model-1")
        await client.upload(job["upload_url"], path)
        return str(job["job_id"])


async def until(running: Engine, job_id: str, done: int | None = None) -> dict[str, Any]:
    """Return the job's status once it is final, or once `done` prompts are complete."""
    async with AsyncClient(running.url, running.key) as client, asyncio.timeout(90):
        while True:
            status = await client.status(job_id)
            if status["status"] in FINAL or (done is not None and status["completed_count"] >= done):
                return status
            await asyncio.sleep(0.02)


async def download(running: Engine, job_id: str, folder: Path) -> list[dict[str, Any]]:
    """Download the result files and return all result lines."""
    folder.mkdir(exist_ok=True)
    lines = []
    async with AsyncClient(running.url, running.key) as client:
        for file in (await client.results(job_id))["files"]:
            await client.download(file["url"], folder / file["filename"])
            if file["filename"].startswith("results"):
                lines += parse_lines((folder / file["filename"]).read_bytes())
    return lines


async def test_engine_three_prompts_complete_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(3))
    with engine(tmp_path / "data") as running:
        async with AsyncClient(running.url, running.key) as client:
            job = await client.init("echo", "m")
            await client.upload(job["upload_url"], path)
            started = time.monotonic()
            await until(running, job["job_id"])
            seconds = time.monotonic() - started

    assert seconds < 1.0


@pytest.mark.parametrize("whole_group", [True, False])
async def test_engine_kill_9_loses_no_prompt(tmp_path: Path, whole_group: bool) -> None:
    path, data = tmp_path / "prompts.jsonl", tmp_path / "data"
    path.write_bytes(prompts(10_000))
    echo = {"PROMPTFORGE_ECHO_LATENCY_SECONDS": "0.02"}
    first = start_engine(data, echo)
    try:
        job_id = await submit(first, path)
        status_at_kill = await until(first, job_id, done=2000)
        first.kill_all() if whole_group else first.kill()
        second = start_engine(data, echo, port=int(first.url.rpartition(":")[2]))
    finally:
        stop_engine(first)
    try:
        assert second.key == first.key
        status = await until(second, job_id)
        results = await download(second, job_id, tmp_path / "results")
    finally:
        stop_engine(second)

    assert status_at_kill["completed_count"] < 10_000
    assert (status["status"], status["completed_count"], status["failed_count"]) == ("COMPLETED", 10_000, 0)
    assert [line["prompt_id"] for line in results] == [f"id-{number}" for number in range(10_000)]
    assert [line["result"] for line in results] == [f"prompt {number}" for number in range(10_000)]


async def test_engine_killed_worker_is_replaced_and_repeats_few_calls(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(2000))
    async with fake_provider(answer_after(0.02)) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_MAX_IN_FLIGHT": "16"}
        environ["PROMPTFORGE_FLUSH_COUNT"] = "10"
        with engine(tmp_path / "data", environ) as running:
            before = running.wait_for_workers(2)
            job_id = await submit(running, path, "openai")
            await until(running, job_id, done=300)
            os.kill(before[0], signal.SIGKILL)
            status = await until(running, job_id)
            results = await download(running, job_id, tmp_path / "results")
            after = await asyncio.to_thread(running.wait_for_workers, 2, without=before[:1])

    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(2000)]
    assert status["completed_count"] == 2000
    assert len(after) == len(before) == 2
    assert before[0] not in after
    in_flight, leased_chunks, unflushed = 16, 8, 10
    assert provider.call_counts.total() - 2000 <= in_flight + leased_chunks * unflushed
    assert max(provider.call_counts.values()) <= 2


async def test_engine_sigterm_repeats_no_call(tmp_path: Path) -> None:
    path, data = tmp_path / "prompts.jsonl", tmp_path / "data"
    path.write_bytes(prompts(1000))
    async with fake_provider(answer_after(0.1)) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_MAX_IN_FLIGHT": "32"}
        first = start_engine(data, environ)
        job_id = await submit(first, path, "openai")
        await until(first, job_id, done=100)
        code = await asyncio.to_thread(first.terminate)
        stop_engine(first)
        with engine(data, environ) as second:
            await until(second, job_id)
            results = await download(second, job_id, tmp_path / "results")

    assert code == 0
    assert len(results) == 1000
    assert Counter(provider.call_counts.values()) == {1: 1000}


async def test_engine_suspended_worker_of_a_killed_engine_releases_its_chunks(tmp_path: Path) -> None:
    path, data = tmp_path / "prompts.jsonl", tmp_path / "data"
    path.write_bytes(prompts(1000))
    async with fake_provider(answer_after(0.1)) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_MAX_IN_FLIGHT": "16"}
        first = start_engine(data, environ)
        try:
            job_id = await submit(first, path, "openai")
            await until(first, job_id, done=100)
            suspend(first.worker_pids[0])
            first.kill()  # the kernel then sends SIGHUP and SIGCONT to the suspended worker
            second = await asyncio.to_thread(start_engine, data, environ)
        finally:
            stop_engine(first)
        try:
            await until(second, job_id)
            results = await download(second, job_id, tmp_path / "results")
        finally:
            stop_engine(second)

    assert len(results) == 1000
    assert Counter(provider.call_counts.values()) == {1: 1000}


async def test_engine_key_from_command_line_is_valid_and_sees_own_jobs_only(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(1))
    with engine(tmp_path / "data", {"PROMPTFORGE_API_KEY": "my-own-key"}) as running:
        assert running.key == "my-own-key"
        job_id = await submit(running, path)
        command = ("keys", "create", "--client", "bob", "--data-dir", tmp_path / "data")
        key = (await asyncio.to_thread(run_cli, *command)).stdout.strip()
        async with AsyncClient(running.url, key) as bob:
            assert (await bob.init("echo", "m"))["job_id"]
            with pytest.raises(RequestFailed, match="404"):
                await bob.status(job_id)


async def test_engine_deleted_data_leaves_the_database_log(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    log = data_dir / "state.db-wal"
    with engine(data_dir) as running:
        async with AsyncClient(running.url, running.key) as client:
            job = await client.init("echo", "model-1", system="OWN WORDS")
            assert b"OWN WORDS" in log.read_bytes() + (data_dir / "state.db").read_bytes()
            await client.delete(job["job_id"])
        running.kill_all()
    with engine(data_dir):
        async with asyncio.timeout(20):
            while b"OWN WORDS" in log.read_bytes() + (data_dir / "state.db").read_bytes():
                await asyncio.sleep(0.05)
