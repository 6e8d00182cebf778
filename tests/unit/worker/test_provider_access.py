"""A job is processed only with the provider's key, and only at the address of its creation."""

from typing import Any

import pytest

from promptforge.domain.job import Job
from promptforge.settings import Settings
from promptforge.worker.provider_access import access_error
from tests.unit.domain.test_job import job as new_job

HERE, THERE = "http://localhost:11434/v1", "https://api.openai.com/v1"


def job(**fields: Any) -> Job:
    return new_job().model_copy(update={"provider": "openai", **fields})


def settings(url: str, **keys: str) -> Settings:
    return Settings.from_env({"OPENAI_BASE_URL": url, **keys})


def test_access_error_other_address_names_both_and_the_variable() -> None:
    error = access_error(settings(THERE, OPENAI_API_KEY="k"), job(provider_url=HERE))

    assert error is not None
    assert error.code == "provider_address_changed"
    assert all(part in error.message for part in (HERE, THERE, "OPENAI_BASE_URL"))


@pytest.mark.parametrize("url", [HERE, HERE + "/", "http://user:secret@localhost:11434/v1"])
def test_access_error_same_address_is_none(url: str) -> None:
    assert access_error(settings(url, OPENAI_API_KEY="k"), job(provider_url=HERE)) is None


def test_access_error_job_without_address_is_none() -> None:
    assert access_error(settings(THERE, OPENAI_API_KEY="k"), job()) is None
    assert access_error(settings(THERE), job(provider="echo")) is None


def test_access_error_without_key_names_the_variable() -> None:
    error = access_error(settings(HERE), job(provider_url=HERE))

    assert error is not None
    assert (error.code, "OPENAI_API_KEY" in error.message) == ("provider_key_missing", True)


def test_provider_address_omits_user_and_password() -> None:
    assert settings("https://user:pass@host/v1/").provider_address("openai") == "https://host/v1"
    assert settings(HERE).provider_address("echo") is None
