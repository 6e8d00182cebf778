"""Tests of `make deploy` with fake gcloud and terraform commands that record their arguments."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.infra.terraform import INFRA

GCLOUD = """#!/bin/sh
echo "gcloud $*" >> "$HOME/calls"
case "$*" in
  "storage buckets describe"*) test -e "$HOME/state" ;;
  "storage buckets create"*) touch "$HOME/state" ;;
  "secrets list"*) printf 'promptforge-openai-api-key\\npromptforge-pepper\\n' ;;
  "secrets versions list"*) cat "$HOME/$4" 2>/dev/null || true ;;
  "secrets versions add"*) cat > "$HOME/$4" ;;
esac
"""
TERRAFORM = """#!/bin/sh
echo "terraform $*" >> "$HOME/calls"
[ "$1" != output ] || echo 'https://promptforge-{function}-1.region.run.app'
"""

DeployRun = tuple[subprocess.CompletedProcess[str], list[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the directory of the fake commands and of their state."""
    for name, script in (("gcloud", GCLOUD), ("terraform", TERRAFORM)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def deploy(home: Path, **variables: str) -> DeployRun:
    """Run deploy.sh and return its process and the recorded calls."""
    calls = home / "calls"
    calls.write_text("")
    environ = {"PATH": f"{home}:{os.environ['PATH']}", "HOME": str(home), **variables}
    done = subprocess.run([INFRA / "deploy.sh"], env=environ, capture_output=True, text=True, check=False)
    return done, calls.read_text().splitlines()


def make_variables(**more: str) -> Mapping[str, str]:
    return {"PROJECT": "a-project", "REGION": "europe-west1", **more}


def test_deploy_empty_project_creates_state_secrets_and_resources_in_order(home: Path) -> None:
    done, calls = deploy(home, **make_variables(OPENAI_API_KEY="sk-1", VARS="env/prod.tfvars"))

    assert done.returncode == 0, done.stderr
    steps = [
        "gcloud storage buckets create gs://a-project-promptforge-tfstate ",
        "gcloud services enable ",
        "gcloud beta services identity create --service=eventarc.googleapis.com ",
        "terraform init -input=false -backend-config=bucket=a-project-promptforge-tfstate ",
        "terraform apply -input=false -auto-approve ",
        "gcloud secrets versions add promptforge-openai-api-key ",
        "gcloud secrets versions add promptforge-pepper ",
        "terraform apply -var-file env/prod.tfvars -var project=a-project -var region=europe-west1",
    ]
    positions = [next(index for index, line in enumerate(calls) if line.startswith(step)) for step in steps]
    assert positions == sorted(positions)
    assert (home / "promptforge-openai-api-key").read_text() == "sk-1"
    assert len((home / "promptforge-pepper").read_text()) == 44
    assert "API URL: https://promptforge-{function}-1.region.run.app" in done.stdout


def test_deploy_repeated_without_keys_keeps_existing_secrets(home: Path) -> None:
    deploy(home, **make_variables(OPENAI_API_KEY="sk-1"))
    pepper = (home / "promptforge-pepper").read_text()
    done, calls = deploy(home, **make_variables())

    assert done.returncode == 0, done.stderr
    assert not [line for line in calls if " create gs://" in line or "versions add" in line]
    assert (home / "promptforge-pepper").read_text() == pepper


def test_deploy_missing_provider_key_names_variable_and_stops(home: Path) -> None:
    done, calls = deploy(home, **make_variables())

    assert done.returncode == 1
    assert done.stderr == "Secret promptforge-openai-api-key has no value. Set OPENAI_API_KEY and repeat make deploy.\n"
    assert not (home / "promptforge-openai-api-key").exists()
    assert calls[-1].startswith("gcloud secrets versions list promptforge-openai-api-key")


def test_deploy_secret_value_never_appears_in_arguments_or_output(home: Path) -> None:
    done, calls = deploy(home, **make_variables(OPENAI_API_KEY="sk-secret"))

    assert done.returncode == 0
    assert "sk-secret" not in "".join(calls) + done.stdout + done.stderr


def test_deploy_without_project_and_region_prints_required_variables(home: Path) -> None:
    done, calls = deploy(home)

    assert done.returncode == 1
    assert done.stderr == "PROJECT and REGION are required: make deploy PROJECT=my-project REGION=europe-west1\n"
    assert calls == []
