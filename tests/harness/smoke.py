"""The smoke test as a command."""

import subprocess
import sys
from pathlib import Path

from tests.harness.canary import find_leaks
from tests.harness.engine_process import clean_environment


def run_smoke(url: str, key: str, other_key: str, *options: str) -> tuple[int, dict[str, str]]:
    """Its exit code, and each check's word by what it checks. It says no secret."""
    keys = {"PROMPTFORGE_API_KEY": key, "PROMPTFORGE_OTHER_API_KEY": other_key}
    command = [sys.executable, "-m", "tests.smoke", "--url", url, *options]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(keys), cwd=root, check=False)
    assert not find_leaks(done.stdout)
    assert not any(secret in done.stdout for secret in (key, other_key, "ignature="))
    assert done.stderr == ""
    return done.returncode, {line[8:]: line[:8].strip() for line in done.stdout.splitlines()}
