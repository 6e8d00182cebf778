"""The command `promptforge verify`, and the verification at the end of `promptforge run`."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.harness.engine_process import clean_environment, run_cli
from tests.harness.lines import prompts

ECHO = ("--provider", "echo", "--model", "m")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `prompts.jsonl` and `out`, the results of its run."""
    home = tmp_path_factory.mktemp("run")
    (home / "prompts.jsonl").write_bytes(prompts(3) + b"\noops\n")
    where = ("--output", home / "out", "--data-dir", home / "data")
    done = run_cli("run", home / "prompts.jsonl", *ECHO, *where)
    assert done.returncode == 1, done.stderr  # one prompt failed
    assert "Verified" in done.stderr
    return home


def test_verify_complete_results_exits_0(home: Path) -> None:
    done = run_cli("verify", home / "prompts.jsonl", home / "out")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 prompts: 3 results and 1 errors, each once and in order\n"


def test_verify_missing_line_exits_1_and_prints_it(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(prompts(4))
    done = run_cli("verify", other, home / "out")

    assert done.returncode == 1
    assert 'missing: line 4, "id-3"' in done.stdout
    assert "do not match" in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_without_manifest_says_what_to_do(home: Path, tmp_path: Path) -> None:
    done = run_cli("verify", home / "prompts.jsonl", tmp_path)
    no_folder = run_cli("verify", home / "prompts.jsonl", tmp_path / "nowhere")

    assert (done.returncode, no_folder.returncode) == (1, 2)
    assert "manifest.json not found: download it" in done.stderr
    assert "Traceback" not in done.stderr + no_folder.stderr


def test_run_file_changed_during_run_exits_1(tmp_path: Path) -> None:
    file, log = tmp_path / "prompts.jsonl", tmp_path / "data" / "engine.log"
    file.write_bytes(prompts(5))
    where = ("--output", tmp_path / "out", "--data-dir", tmp_path / "data")
    command = [sys.executable, "-m", "promptforge", "run", file, *ECHO, *where]
    slow = clean_environment({"PROMPTFORGE_ECHO_LATENCY_SECONDS": "1.5"})
    running = subprocess.Popen(list(map(str, command)), env=slow, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (log.exists() and "job_split" in log.read_text()):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    file.write_bytes(prompts(5, first=1))
    stderr = running.communicate(timeout=60)[1]

    assert running.returncode == 1
    assert "5 answered, 0 failed" in stderr
    assert "is not the file that was uploaded" in stderr
    assert "Verified" not in stderr
