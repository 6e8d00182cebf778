"""The smoke test as a command."""

import subprocess
import sys
from pathlib import Path

from tests.harness.canary import find_leaks
from tests.harness.engine_process import clean_environment

STATUS_WIDTH = 8


def run_smoke(url: str, key: str, other_key: str, *options: str) -> tuple[int, dict[str, str]]:
    """Run the smoke test.

    Returns its exit code, and the status of each check by the text of its line.

    Its output must contain no secret.
    """
    keys = {"PROMPTFORGE_API_KEY": key, "PROMPTFORGE_OTHER_API_KEY": other_key}
    command = [sys.executable, "-m", "tests.smoke", "--url", url, *options]
    root, environ = Path(__file__).parents[2], clean_environment(keys)
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=root, check=False)
    assert not find_leaks(done.stdout)
    assert not any(secret in done.stdout for secret in (key, other_key, "ignature="))
    assert done.stderr == ""
    return done.returncode, {line[STATUS_WIDTH:]: line[:STATUS_WIDTH].strip() for line in done.stdout.splitlines()}
