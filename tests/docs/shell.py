"""Runs the shell blocks of a page in order, in one shell, as a reader would type them.

- `sh` blocks must succeed.
- `console` blocks are transcripts: the output of each command must match the lines below it. An ellipsis matches any
  text, and a line of its own any lines.
- `promptforge serve` starts a service on a free port. Its URL and key replace the documented ones in later blocks.
- The commands in PROVIDED are skipped, because the tests run in the environment that they create.
"""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.pages import ROOT, Page, is_runnable
from tests.harness.engine_process import clean_environment

TIMEOUT_SECONDS = 150
MARK = "::step"
PROVIDED = ("make setup", ". .venv/bin/activate")
SERVE = """\
coproc SERVE { exec promptforge serve --port 0 2> serve.err; }
trap 'kill "$SERVE_PID"; wait' EXIT
while read -r name rest <&"${SERVE[0]}"; do
  case $name in URL) SERVE_URL=$rest ;; API) SERVE_KEY=${rest#key*  } ;; Ready) break ;; esac
done"""
ACTUAL = {"http://127.0.0.1:8080": "$SERVE_URL", "pf_…": "$SERVE_KEY", "http://localhost:11434/v1": "$OPENAI_BASE_URL"}


@dataclass
class Step:
    """A command or a block, with the output that a transcript shows."""

    line: int
    command: str
    expected: str | None = None
    output: str = field(default="", init=False)

    def check(self) -> None:
        """Compare the output with the transcript."""
        if self.expected is not None:
            assert re.fullmatch(_pattern(self.expected), self.output), f"line {self.line}: {self.output}"


def steps(page: Page) -> Iterator[Step]:
    """Yield what a page runs, in order."""
    for block in filter(is_runnable, page.blocks):
        if block.language == "sh":
            yield Step(block.line, block.text)
        else:
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                yield Step(block.line, command, None if command in PROVIDED else expected)


async def run_page(page: Page, folder: Path, base_url: str) -> list[Step]:
    """Run every step of a page in the folder; fail at the first error."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    script = folder / "page.sh"
    listed = list(steps(page))
    script.write_text("set -euo pipefail\n" + "".join(_script(number, step) for number, step in enumerate(listed)))
    code, output = await _run(script, folder, base_url)
    outputs = re.split(rf"^{MARK} \d+\n", output, flags=re.MULTILINE)[1:]
    for step, text in zip(listed, outputs, strict=False):
        step.output = text
    assert code == 0, f"{page.name} line {listed[max(len(outputs) - 1, 0)].line}: {output[-2000:]}"
    assert len(outputs) == len(listed)
    return listed


def _script(number: int, step: Step) -> str:
    command = ":" if step.command in PROVIDED else step.command
    command = re.sub(r"^promptforge serve$", lambda match: SERVE, command, flags=re.MULTILINE)
    for documented, actual in ACTUAL.items():
        command = command.replace(documented, actual)
    return f"echo; echo {MARK} {number}\n{command}\n"


async def _run(script: Path, folder: Path, base_url: str) -> tuple[int, str]:
    environ = clean_environment({"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-test"})
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        script,
        cwd=folder,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode or 0, output.decode()


def _pattern(expected: str) -> str:
    lines = expected.rstrip("\n").split("\n") if expected.strip() else []
    parts = ["(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in lines]
    return "\n*" + "".join(parts) + "\n*"
