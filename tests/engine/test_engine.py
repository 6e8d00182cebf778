"""The engine as its user has it: real processes, killed for real."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.openai_server import openai_server, slow
from tests.harness.engine_process import Engine, engine, freeze, promptforge, start, stop
from tests.harness.in_process import lines_of, prompts

from promptforge.client.async_client import AsyncClient, RequestFailed

FINAL = ("COMPLETED", "FAILED")


async def submit(running: Engine, path: Path, provider: str = "echo") -> str:
    async with AsyncClient(running.url, running.key) as client:
        job = await client.init(provider, "model-1")
        await client.upload(job["upload_url"], path)
        return str(job["job_id"])


async def until(running: Engine, job_id: str, done: int | None = None) -> dict[str, Any]:
    """The job's status once it has ended, or once `done` prompts are done."""
    async with AsyncClient(running.url, running.key) as client, asyncio.timeout(90):
        while True:
            status = await client.status(job_id)
            if status["status"] in FINAL or (done is not None and status["completed_count"] >= done):
                return status
            await asyncio.sleep(0.02)


async def download(running: Engine, job_id: str, folder: Path) -> list[dict[str, Any]]:
    """All result lines."""
    folder.mkdir(exist_ok=True)
    lines = []
    async with AsyncClient(running.url, running.key) as client:
        for file in (await client.results(job_id))["files"]:
            await client.download(file["url"], folder / file["filename"])
            if file["filename"].startswith("results"):
                lines += lines_of((folder / file["filename"]).read_bytes())
    return lines


async def test_three_prompts_go_from_upload_to_completed_in_under_a_second(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(3))
    with engine(tmp_path / "data") as running:
        async with AsyncClient(running.url, running.key) as client:
            job = await client.init("echo", "m")
            await client.upload(job["upload_url"], path)
            began = time.monotonic()
            await until(running, job["job_id"])
            seconds = time.monotonic() - began

    assert seconds < 1.0


@pytest.mark.parametrize("whole_group", [True, False])
async def test_ten_thousand_prompts_survive_kill_9_in_the_middle(tmp_path: Path, whole_group: bool) -> None:
    path, data = tmp_path / "prompts.jsonl", tmp_path / "data"
    path.write_bytes(prompts(10_000))
    echo = {"PROMPTFORGE_ECHO_LATENCY_SECONDS": "0.02"}
    first = start(data, echo)
    try:
        job_id = await submit(first, path)
        at_the_kill = await until(first, job_id, done=2000)
        first.kill_all() if whole_group else first.kill()
        second = start(data, echo, port=int(first.url.rpartition(":")[2]))
    finally:
        stop(first)
    try:
        assert second.key == first.key
        status = await until(second, job_id)
        results = await download(second, job_id, tmp_path / "results")
    finally:
        stop(second)

    assert at_the_kill["completed_count"] < 10_000
    assert (status["status"], status["completed_count"], status["failed_count"]) == ("COMPLETED", 10_000, 0)
    assert [line["prompt_id"] for line in results] == [f"id-{number}" for number in range(10_000)]
    assert [line["result"] for line in results] == [f"prompt {number}" for number in range(10_000)]


async def test_a_killed_worker_process_is_replaced_and_costs_at_most_what_was_at_risk(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(2000))
    async with openai_server(slow(0.02)) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_MAX_IN_FLIGHT": "16"}
        environ["PROMPTFORGE_FLUSH_COUNT"] = "10"
        with engine(tmp_path / "data", environ) as running:
            before = running.worker_pids
            job_id = await submit(running, path, "openai")
            await until(running, job_id, done=300)
            os.kill(before[0], signal.SIGKILL)
            status = await until(running, job_id)
            results = await download(running, job_id, tmp_path / "results")
            after = running.worker_pids

    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(2000)]
    assert status["completed_count"] == 2000
    assert len(after) == len(before) == 2
    assert before[0] not in after
    in_flight, chunks_held, unflushed = 16, 8, 10
    assert provider.calls.total() - 2000 <= in_flight + chunks_held * unflushed
    assert max(provider.calls.values()) <= 2


async def test_a_terminated_engine_pays_for_nothing_twice(tmp_path: Path) -> None:
    path, data = tmp_path / "prompts.jsonl", tmp_path / "data"
    path.write_bytes(prompts(1000))
    async with openai_server(slow(0.1)) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_MAX_IN_FLIGHT": "32"}
        first = start(data, environ)
        job_id = await submit(first, path, "openai")
        await until(first, job_id, done=100)
        code = await asyncio.to_thread(first.terminate)
        stop(first)
        with engine(data, environ) as second:
            await until(second, job_id)
            results = await download(second, job_id, tmp_path / "results")

    assert code == 0
    assert len(results) == 1000
    assert Counter(provider.calls.values()) == {1: 1000}


async def test_a_worker_that_is_stopped_while_its_engine_dies_still_gives_back_what_it_holds(tmp_path: Path) -> None:
    path, data = tmp_path / "prompts.jsonl", tmp_path / "data"
    path.write_bytes(prompts(1000))
    async with openai_server(slow(0.1)) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_MAX_IN_FLIGHT": "16"}
        first = start(data, environ)
        try:
            job_id = await submit(first, path, "openai")
            await until(first, job_id, done=100)
            freeze(first.worker_pids[0])
            first.kill()  # whereupon the kernel sends the stopped worker SIGHUP and SIGCONT
            second = await asyncio.to_thread(start, data, environ)
        finally:
            stop(first)
        try:
            await until(second, job_id)
            results = await download(second, job_id, tmp_path / "results")
        finally:
            stop(second)

    assert len(results) == 1000
    assert Counter(provider.calls.values()) == {1: 1000}


async def test_a_key_made_on_the_command_line_works_at_once_and_sees_only_its_own_jobs(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(1))
    with engine(tmp_path / "data", {"PROMPTFORGE_API_KEY": "my-own-key"}) as running:
        assert running.key == "my-own-key"
        job_id = await submit(running, path)
        command = ("keys", "create", "--client", "bob", "--data-dir", tmp_path / "data")
        key = (await asyncio.to_thread(promptforge, *command)).stdout.strip()
        async with AsyncClient(running.url, key) as bob:
            assert (await bob.init("echo", "m"))["job_id"]
            with pytest.raises(RequestFailed, match="404"):
                await bob.status(job_id)


async def test_what_was_deleted_does_not_stay_in_the_log_of_the_database(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    log = data_dir / "state.db-wal"
    with engine(data_dir) as running:
        async with AsyncClient(running.url, running.key) as client:
            job = await client.init("echo", "model-1", system="OWN WORDS")
            await client.delete(job["job_id"])
        running.kill_all()
    assert b"OWN WORDS" in log.read_bytes()
    with engine(data_dir):
        async with asyncio.timeout(20):
            while b"OWN WORDS" in log.read_bytes() + (data_dir / "state.db").read_bytes():
                await asyncio.sleep(0.05)
