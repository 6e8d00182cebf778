"""`make deploy`, between stand-ins for gcloud and terraform that write down what they are told."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.infra.terraform import INFRA

GCLOUD = """#!/bin/sh
echo "gcloud $*" >> "$HOME/said"
case "$*" in
  "storage buckets describe"*) test -e "$HOME/state" ;;
  "storage buckets create"*) touch "$HOME/state" ;;
  "secrets list"*) printf 'promptforge-openai-api-key\\npromptforge-pepper\\n' ;;
  "secrets versions list"*) cat "$HOME/$4" 2>/dev/null || true ;;
  "secrets versions add"*) cat > "$HOME/$4" ;;
esac
"""
TERRAFORM = """#!/bin/sh
echo "terraform $*" >> "$HOME/said"
[ "$1" != output ] || echo 'https://promptforge-{function}-1.region.run.app'
"""

Deployed = tuple[subprocess.CompletedProcess[str], list[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the stand-ins are, and what they keep."""
    for name, script in (("gcloud", GCLOUD), ("terraform", TERRAFORM)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def deploy(home: Path, **variables: str) -> Deployed:
    """What came of it, and what the tools were told."""
    said = home / "said"
    said.write_text("")
    environ = {"PATH": f"{home}:{os.environ['PATH']}", "HOME": str(home), **variables}
    done = subprocess.run([INFRA / "deploy.sh"], env=environ, capture_output=True, text=True, check=False)
    return done, said.read_text().splitlines()


def where(**more: str) -> Mapping[str, str]:
    return {"PROJECT": "a-project", "REGION": "europe-west1", **more}


def test_an_empty_project_gets_its_state_its_secrets_and_the_rest_in_this_order(home: Path) -> None:
    done, said = deploy(home, **where(OPENAI_API_KEY="sk-1", VARS="env/prod.tfvars"))

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
    places = [next(place for place, line in enumerate(said) if line.startswith(step)) for step in steps]
    assert places == sorted(places)
    assert (home / "promptforge-openai-api-key").read_text() == "sk-1"
    assert len((home / "promptforge-pepper").read_text()) == 44
    assert "API URL: https://promptforge-{function}-1.region.run.app" in done.stdout


def test_again_it_changes_no_secret_and_needs_none(home: Path) -> None:
    deploy(home, **where(OPENAI_API_KEY="sk-1"))
    pepper = (home / "promptforge-pepper").read_text()
    done, said = deploy(home, **where())

    assert done.returncode == 0, done.stderr
    assert not [line for line in said if " create gs://" in line or "versions add" in line]
    assert (home / "promptforge-pepper").read_text() == pepper


def test_a_key_that_is_missing_is_named_before_anything_else_is_made(home: Path) -> None:
    done, said = deploy(home, **where())

    assert done.returncode == 1
    assert done.stderr == "Secret promptforge-openai-api-key has no value. Set OPENAI_API_KEY and repeat make deploy.\n"
    assert not (home / "promptforge-openai-api-key").exists()
    assert said[-1].startswith("gcloud secrets versions list promptforge-openai-api-key")


def test_no_secret_is_told_on_a_command_line(home: Path) -> None:
    done, said = deploy(home, **where(OPENAI_API_KEY="sk-secret"))

    assert done.returncode == 0
    assert "sk-secret" not in "".join(said) + done.stdout + done.stderr


def test_whoever_does_not_say_where_is_told_how(home: Path) -> None:
    done, said = deploy(home)

    assert done.returncode == 1
    assert done.stderr == "PROJECT and REGION are required: make deploy PROJECT=my-project REGION=europe-west1\n"
    assert said == []
