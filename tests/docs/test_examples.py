"""The five examples run against a loopback model server and a service on this machine."""

import asyncio
import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.harness.engine_process import clean_environment, engine

PROMPTS = 40


@pytest.fixture(autouse=True)
def examples(folder: Path) -> Path:
    """The examples in the working directory."""
    return Path(shutil.copytree(ROOT / "examples", folder / "examples"))


async def run(folder: Path, *command: str, **environ: str) -> tuple[int, str]:
    """Run a command as a reader would; return its exit code and its standard output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=clean_environment({"PATH": path, **environ}), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode()


def lines(folder: Path, pattern: str) -> list[dict[str, object]]:
    """Read the lines of the files that match the pattern."""
    return [json.loads(line) for file in sorted(folder.glob(pattern)) for line in file.read_text().splitlines()]


async def test_csv_to_labels_joins_answers_to_rows(folder: Path, base_url: str) -> None:
    command = ["examples/csv_to_labels/label.py", "examples/csv_to_labels/reviews.csv", "labelled.csv"]
    options = ["--provider", "openai", "--model", "any"]
    code, _ = await run(folder, "python", *command, *options, OPENAI_BASE_URL=base_url, OPENAI_API_KEY="sk-test")

    rows = list(csv.DictReader((folder / "labelled.csv").read_text().splitlines()))
    assert code == 0
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert all(row["label"] == row["review"] and row["error"] == "" for row in rows)


async def test_csv_to_labels_with_an_empty_row_writes_its_error(folder: Path) -> None:
    (folder / "some.csv").write_text("id,review\na,Good\nb,\n")
    code, _ = await run(folder, "python", "examples/csv_to_labels/label.py", "some.csv", "labelled.csv")

    assert code == 1
    assert (folder / "labelled.csv").read_text() == "id,review,label,error\na,Good,Good,\nb,,,invalid_prompt\n"


async def test_structured_output_prints_a_row_per_answer(folder: Path, base_url: str) -> None:
    environ = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-test"}
    code, output = await run(folder, "python", "examples/structured_output.py", "--model", "any", **environ)

    assert code == 0
    assert output == "id\tname\tcity\norder\tsome name\tsome city\nrefund\tsome name\tsome city\n"


async def test_curl_downloads_results_and_manifest(folder: Path, tmp_path: Path) -> None:
    with engine(tmp_path / "data") as service:
        command = ["examples/curl.sh", "examples/prompts.jsonl", "answers"]
        code, output = await run(folder, *command, URL=service.url, KEY=service.key)

    assert code == 0
    assert json.loads(output)["status"] == "COMPLETED"
    assert [line["prompt_id"] for line in lines(folder / "answers", "results_part_*.jsonl")] == [
        "greeting",
        "capital",
        "haiku",
    ]
    assert (folder / "answers" / "manifest.json").is_file()


async def test_cost_limit_stops_the_job_and_keeps_its_results(folder: Path, tmp_path: Path) -> None:
    prompts = [{"prompt_id": str(number), "prompt": "one two three"} for number in range(PROMPTS)]
    (folder / "many.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    with engine(tmp_path / "data", {"PROMPTFORGE_PRICES": '{"echo/*": [1000, 1000]}'}, workers=1) as service:
        command = ["examples/cost_limit.sh", "many.jsonl", "answers", "0.05"]
        code, output = await run(folder, *command, URL=service.url, KEY=service.key)

    results, errors = lines(folder / "answers", "results_part_*.jsonl"), lines(folder / "answers", "errors.jsonl")
    assert code == 0
    assert output.startswith(f"FAILED {len(results)} of {PROMPTS} prompts")
    assert "cost limit" in output
    assert 0 < len(results) < PROMPTS
    assert {error["error"] for error in errors} == {"cost_limit"}


async def test_local_server_answers_every_prompt(folder: Path, base_url: str) -> None:
    command = ["examples/local_server.sh", "examples/prompts.jsonl", "answers"]
    code, _ = await run(folder, *command, OPENAI_BASE_URL=base_url)

    assert code == 0
    assert [line["model"] for line in lines(folder / "answers", "results_part_*.jsonl")] == ["llama3.2"] * 3


def test_every_example_is_listed(examples: Path) -> None:
    text = (examples / "README.md").read_text()
    scripts = [file.relative_to(examples).as_posix() for kind in ("*.py", "*.sh") for file in examples.rglob(kind)]

    assert len(scripts) == 5
    assert all(f"`{script}`" in text for script in scripts)
