"""The command line as a user runs it, in a process of its own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.harness.engine_process import clean_environment, engine, run_cli
from tests.harness.lines import prompts

EXAMPLE = Path(__file__).parents[2] / "examples" / "prompts.jsonl"


def run(tmp_path: Path, file: Path, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    where = ("--output", tmp_path / "out", "--data-dir", tmp_path / "data")
    return run_cli("run", file, "--provider", "echo", "--model", "m", *where, *arguments, **environ)


def test_run_all_prompts_answered_downloads_results_and_exits_0(tmp_path: Path) -> None:
    done = run(tmp_path, EXAMPLE)

    assert done.returncode == 0, done.stderr
    assert "3 answered, 0 failed" in done.stderr
    lines = (tmp_path / "out" / "results_part_001.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt_id"] for line in lines] == ["greeting", "capital", "haiku"]
    assert (tmp_path / "out" / "errors.jsonl").read_bytes() == b""


def test_run_failed_prompt_downloads_the_rest_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(2) + b"oops\n")
    done = run(tmp_path, file)

    assert done.returncode == 1
    assert "2 answered, 1 failed" in done.stderr
    assert json.loads((tmp_path / "out" / "errors.jsonl").read_text())["line"] == 3


def test_run_failed_job_prints_its_error_code(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(b"")
    done = run(tmp_path, file)

    assert done.returncode == 1
    assert "empty_input" in done.stderr


def test_run_output_with_other_results_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results_part_001.jsonl").write_text("precious")
    done = run(tmp_path, EXAMPLE)

    assert done.returncode == 1
    assert "--output" in done.stderr
    assert (tmp_path / "out" / "results_part_001.jsonl").read_text() == "precious"


def test_run_with_url_uses_the_running_service(tmp_path: Path) -> None:
    with engine(tmp_path / "data") as running:
        done = run(tmp_path, EXAMPLE, "--url", running.url, PROMPTFORGE_API_KEY=running.key)
        refused = run(tmp_path / "other", EXAMPLE, "--url", running.url, "--api-key", "wrong")
        unnamed = run(tmp_path / "other", EXAMPLE, "--url", running.url)
        second = run_cli("serve", "--port", "0", "--data-dir", tmp_path / "data")

    assert done.returncode == 0, done.stderr
    assert (refused.returncode, unnamed.returncode) == (1, 2)
    assert "X-API-Key" in refused.stderr
    assert "PROMPTFORGE_API_KEY" in unnamed.stderr
    assert second.returncode == 1
    assert running.url in second.stderr


def test_serve_port_in_use_error_has_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_cli("serve", "--port", port, "--data-dir", tmp_path / "data")

    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("name", "value"), [("CHUNK_LINES", "0"), ("LEASE_SECONDS", "soon"), ("LOG_LEVEL", "LOUD")])
def test_serve_invalid_setting_error_has_its_name(tmp_path: Path, name: str, value: str) -> None:
    done = run_cli("serve", "--port", "0", "--data-dir", tmp_path, **{f"PROMPTFORGE_{name}": value})

    assert done.returncode == 1
    assert f"PROMPTFORGE_{name}" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_without_provider_key_error_has_its_variable(tmp_path: Path) -> None:
    done = run_cli("run", EXAMPLE, "--provider", "openai", "--model", "m", "--data-dir", tmp_path / "data")

    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr


def test_keys_create_list_revoke(tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    created = [run_cli("keys", "create", "--client", client, *data).stdout.strip() for client in ("ann", "bob", "ann")]
    listed = run_cli("keys", "list", "--client", "ann", *data).stdout.splitlines()
    revoked = run_cli("keys", "revoke", "--client", "ann", "--id", listed[0].split()[0], *data)
    after = run_cli("keys", "list", *data).stdout.splitlines()

    assert len(set(created)) == 3
    assert all(key.startswith("pf_") for key in created)
    assert len(listed) == 2
    assert revoked.stdout.strip() == "1 revoked"
    assert sorted(line.split()[1] for line in after) == ["ann", "ann", "bob"]
    assert sum("revoked" in line for line in after) == 1
    assert not any(key in line for key in created for line in after)
    assert oct(os.stat(tmp_path / "data" / "secret").st_mode)[-3:] == "600"


def test_keys_limit_sets_and_lifts_the_daily_quota(tmp_path: Path) -> None:
    data = ("--client", "ann", "--data-dir", tmp_path / "data")
    before = run_cli("keys", "limit", "--usd-per-day", "1", *data)
    run_cli("keys", "create", *data)
    limits = [run_cli("keys", "limit", *more, *data) for more in (("--usd-per-day", "2.5"), ())]
    wrong = [run_cli("keys", "limit", "--usd-per-day", amount, *data) for amount in ("0", "nan", "inf", "-1")]

    assert (before.returncode, before.stdout.strip()) == (0, "ann: 1 USD a day")
    assert "no API key exists for client ann" in before.stderr
    assert [done.stdout.strip() for done in limits] == ["ann: 2.5 USD a day", "ann: no limit"]
    assert [(done.returncode, done.stderr) for done in limits] == [(0, "")] * 2
    assert [done.returncode for done in wrong] == [2] * 4
    assert not any("Traceback" in done.stderr for done in wrong)


def test_run_sigterm_stops_its_engine_and_the_next_run_resumes(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(500))
    where = ("--output", tmp_path / "out", "--data-dir", tmp_path / "data")
    command = [sys.executable, "-m", "promptforge", "run", file, "--provider", "echo", "--model", "m", *where]
    slow = clean_environment({"PROMPTFORGE_ECHO_LATENCY_SECONDS": "2", "PROMPTFORGE_MAX_IN_FLIGHT": "2"})
    running = subprocess.Popen(list(map(str, command)), env=slow, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "data" / "engine.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and "job_split" in log.read_text()):
        assert time.monotonic() < deadline
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(0.05)
    running.terminate()
    stderr = running.communicate(timeout=20)[1]
    left = subprocess.run(["pgrep", "-f", str(tmp_path / "data")], capture_output=True, check=False)
    other = run(tmp_path, EXAMPLE, "--output", tmp_path / "other")
    again = run(tmp_path, file)

    assert running.returncode == 130
    assert "to resume the job" in stderr
    assert "Traceback" not in stderr
    assert left.stdout == b""
    assert other.returncode == 0
    assert "1 unfinished job" in other.stderr
    assert again.returncode == 0
    assert "started by an earlier run" in again.stderr
    assert "500 answered" in again.stderr


def test_run_rejected_file_prints_its_error_code(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(9))
    done = run(tmp_path, file, PROMPTFORGE_MAX_LINES="5")

    assert done.returncode == 1
    assert "limit_exceeded" in done.stderr


def test_run_unwritable_output_is_rejected_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run(tmp_path, EXAMPLE, "--output", tmp_path / "file" / "out")

    assert done.returncode == 1
    assert "--output" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("name", "value"), [("PROMPTFORGE_API_KEY", "pf_mykey"), ("OPENAI_BASE_URL", "not a url")])
def test_serve_unusable_key_or_url_is_rejected_at_start(tmp_path: Path, name: str, value: str) -> None:
    done = run_cli("serve", "--port", "0", "--data-dir", tmp_path, **{name: value})

    assert done.returncode == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_run_pipe_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run(tmp_path, tmp_path / "pipe")

    assert done.returncode == 1
    assert "regular file" in done.stderr
