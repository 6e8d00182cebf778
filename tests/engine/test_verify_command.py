"""`promptforge verify` as it is typed, and `run`, which verifies by itself."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.harness.engine_process import environment, promptforge
from tests.harness.in_process import prompts

ECHO = ("--provider", "echo", "--model", "m")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `prompts.jsonl` and the `out` of its run."""
    home = tmp_path_factory.mktemp("run")
    (home / "prompts.jsonl").write_bytes(prompts(3) + b"\noops\n")
    where = ("--output", home / "out", "--data-dir", home / "data")
    done = promptforge("run", home / "prompts.jsonl", *ECHO, *where)
    assert done.returncode == 1, done.stderr  # one prompt failed
    assert "Verified" in done.stderr
    return home


def test_verify_exits_0_when_every_prompt_has_its_line(home: Path) -> None:
    done = promptforge("verify", home / "prompts.jsonl", home / "out")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 prompts: 3 results and 1 errors, each once and in order\n"


def test_verify_exits_1_and_names_what_is_wrong(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(prompts(4))
    done = promptforge("verify", other, home / "out")

    assert done.returncode == 1
    assert 'missing: line 4, "id-3"' in done.stdout
    assert "do not match" in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_without_a_manifest_says_what_to_do(home: Path, tmp_path: Path) -> None:
    done = promptforge("verify", home / "prompts.jsonl", tmp_path)
    nowhere = promptforge("verify", home / "prompts.jsonl", tmp_path / "nowhere")

    assert (done.returncode, nowhere.returncode) == (1, 2)
    assert "manifest.json not found: download it" in done.stderr
    assert "Traceback" not in done.stderr + nowhere.stderr


def test_run_exits_1_when_its_file_was_changed_meanwhile(tmp_path: Path) -> None:
    file, log = tmp_path / "prompts.jsonl", tmp_path / "data" / "engine.log"
    file.write_bytes(prompts(5))
    where = ("--output", tmp_path / "out", "--data-dir", tmp_path / "data")
    command = [sys.executable, "-m", "promptforge", "run", file, *ECHO, *where]
    slow = environment({"PROMPTFORGE_ECHO_LATENCY_SECONDS": "1.5"})
    running = subprocess.Popen(list(map(str, command)), env=slow, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (log.exists() and "job_split" in log.read_text()):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    file.write_bytes(prompts(5, first=1))
    said = running.communicate(timeout=60)[1]

    assert running.returncode == 1
    assert "5 answered, 0 failed" in said
    assert "is not the file that was uploaded" in said
    assert "Verified" not in said
