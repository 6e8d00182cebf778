"""Call timeouts and the soft deadline within the platform's limit of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.errors import SettingsError
from promptforge.settings import Settings


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 400),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "540"}, 540 - 312 - 20),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "3600"}, 3600 - 600 - 20),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "600", "PROMPTFORGE_CALL_TIMEOUT_SECONDS": "60"}, 600 - 60 - 20),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "60"}, 60 - 24 - 20),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "60", "PROMPTFORGE_CALL_TIMEOUT_SECONDS": "60"}, 1),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "0"}, 400),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": ""}, 400),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "540", "PROMPTFORGE_SOFT_DEADLINE_SECONDS": "300"}, 300),
    ],
)
def test_soft_deadline_default_leaves_time_for_a_call_within_platform_limit(
    environ: dict[str, str], seconds: float
) -> None:
    assert Settings.from_env(environ).soft_deadline_seconds == seconds


@pytest.mark.parametrize(
    ("environ", "seconds", "longest"),
    [
        ({}, 600, 3600),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "540"}, 312, 312),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "3600"}, 600, 600),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "10"}, 1, 1),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "540", "PROMPTFORGE_CALL_TIMEOUT_SECONDS": "400"}, 400, 400),
        ({"PROMPTFORGE_CALL_TIMEOUT_SECONDS": "90", "PROMPTFORGE_MAX_CALL_TIMEOUT_SECONDS": "120"}, 90, 120),
    ],
)
def test_call_timeout_default_is_what_fits_within_platform_limit(
    environ: dict[str, str], seconds: float, longest: float
) -> None:
    settings = Settings.from_env(environ)

    assert (settings.call_timeout_seconds, settings.max_call_timeout_seconds) == (seconds, longest)


@given(st.integers(61, 4000))
def test_call_before_soft_deadline_returns_within_platform_limit(limit: int) -> None:
    settings = Settings.from_env({"CLOUD_RUN_TIMEOUT_SECONDS": str(limit)})

    assert settings.soft_deadline_seconds + settings.max_call_timeout_seconds + 20 <= limit + 1e-6


def test_settings_platform_limit_that_is_not_a_number_is_rejected() -> None:
    with pytest.raises(SettingsError, match="CLOUD_RUN_TIMEOUT_SECONDS"):
        Settings.from_env({"CLOUD_RUN_TIMEOUT_SECONDS": "soon"})
