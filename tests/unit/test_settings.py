from pathlib import Path

import pytest
from pydantic import ValidationError

from promptforge.errors import SettingsError
from promptforge.settings import PROVIDER_KEYS, Settings


def test_settings_from_empty_environment_are_defaults() -> None:
    settings = Settings.from_env({})

    assert settings.data_dir == Path(".promptforge")
    assert (settings.max_lines, settings.upload_url_seconds, settings.lease_seconds) == (10_000_000, 900, 60)
    assert settings.provider_keys == {}


def test_settings_variable_sets_its_field() -> None:
    environ = {"PROMPTFORGE_MAX_LINES": "7", "PROMPTFORGE_DATA_DIR": "/data", "PROMPTFORGE_FLUSH_SECONDS": "0.5"}

    settings = Settings.from_env(environ)

    assert (settings.max_lines, settings.data_dir, settings.flush_seconds) == (7, Path("/data"), 0.5)


def test_settings_given_value_overrides_variable() -> None:
    settings = Settings.from_env({"PROMPTFORGE_MAX_LINES": "7"}, max_lines=9)

    assert settings.max_lines == 9


def test_settings_given_value_overrides_invalid_variable() -> None:
    assert Settings.from_env({"PROMPTFORGE_MAX_LINES": "many"}, max_lines=9).max_lines == 9


def test_settings_unrelated_variables_are_ignored() -> None:
    assert Settings.from_env({"PATH": "/bin", "MAX_LINES": "7", "PROMPTFORGE_API_KEY": "k"}) == Settings.from_env({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_lines", "many"),
        ("max_lines", ""),
        ("max_lines", "0"),
        ("max_lines", "1.5"),
        ("max_upload_bytes", "0"),
        ("max_line_bytes", "63"),
        ("max_answer_bytes", "1023"),
        ("upload_url_seconds", "0"),
        ("download_url_seconds", "-1"),
        ("chunk_lines", "0"),
        ("chunk_lines", "2001"),
        ("part_lines", "10001"),
        ("lease_seconds", "0"),
        ("lease_seconds", "nan"),
        ("drain_seconds", "8.1"),
        ("max_in_flight", "0"),
        ("echo_failure_rate", "1.1"),
        ("echo_failure_rate", "-0.1"),
        ("echo_throttle_rate", "1"),
        ("log_level", "info"),
        ("log_level", "LOUD"),
        ("log_level", "INFO\n"),
    ],
)
def test_settings_invalid_variable_error_has_its_name_without_its_value(name: str, value: str) -> None:
    variable = f"PROMPTFORGE_{name.upper()}"

    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: value})

    message = str(caught.value)
    assert message.startswith(f"Invalid setting {variable}: ")
    assert "many" not in message
    assert "LOUD" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chunk_lines", 1),
        ("chunk_lines", 2000),
        ("part_lines", 10_000),
        ("max_line_bytes", 64),
        ("max_answer_bytes", 1024),
        ("drain_seconds", 8),
        ("echo_failure_rate", 1),
        ("echo_throttle_rate", 0.99),
    ],
)
def test_settings_value_on_its_bound_is_valid(name: str, value: float) -> None:
    assert getattr(Settings.from_env({f"PROMPTFORGE_{name.upper()}": str(value)}), name) == value


def test_settings_unknown_field_is_rejected() -> None:
    with pytest.raises(SettingsError, match="Invalid setting PROMPTFORGE_MAX_LINE:"):
        Settings.from_env({}, max_line=9)


def test_settings_provider_variables_set_keys_and_urls() -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"}

    settings = Settings.from_env(environ)

    assert settings.provider_keys["openai"] == "sk-1"
    assert settings.provider_urls["openai"] == "http://127.0.0.1:9/v1"


def test_settings_empty_provider_variables_count_as_unset() -> None:
    settings = Settings.from_env({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""})

    assert settings.missing_key("openai") == "OPENAI_API_KEY"
    assert settings.provider_urls == Settings.from_env({}).provider_urls


@pytest.mark.parametrize("provider", [name for name, variable in PROVIDER_KEYS.items() if variable])
def test_missing_key_without_key_returns_its_variable(provider: str) -> None:
    variable = PROVIDER_KEYS[provider] or ""

    assert Settings.from_env({}).missing_key(provider) == variable
    assert Settings.from_env({variable: "sk-1"}).missing_key(provider) is None


def test_settings_provider_key_is_stripped() -> None:
    assert Settings.from_env({"OPENAI_API_KEY": " sk-1\n"}).provider_keys["openai"] == "sk-1"
    assert Settings.from_env({"OPENAI_API_KEY": " \n"}).missing_key("openai") == "OPENAI_API_KEY"


@pytest.mark.parametrize("key", ["sk-secret\r\nX-Evil: 1", "sk-secret\x00", "sk-secret\u00fc", "sk-secret\x7f1"])
def test_settings_key_with_invalid_character_error_omits_the_key(key: str) -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY") as caught:
        Settings.from_env({"OPENAI_API_KEY": key})

    assert "sk-secret" not in str(caught.value)


def test_missing_key_of_echo_is_none() -> None:
    assert Settings.from_env({}).missing_key("echo") is None


def test_settings_repr_omits_provider_keys() -> None:
    assert "sk-secret" not in repr(Settings.from_env({"OPENAI_API_KEY": "sk-secret"}))


def test_settings_assignment_is_rejected() -> None:
    settings = Settings.from_env({})

    with pytest.raises(ValidationError):
        setattr(settings, "max_lines", 1)  # noqa: B010


@pytest.mark.parametrize(
    ("name", "value"), [("CALL_TIMEOUT_SECONDS", "inf"), ("LEASE_SECONDS", "nan"), ("HEARTBEAT_SECONDS", "31")]
)
def test_settings_durations_that_hang_or_lose_leases_are_rejected(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"PROMPTFORGE_{name}"):
        Settings.from_env({f"PROMPTFORGE_{name}": value})


GCP = {
    "PROMPTFORGE_BACKEND": "gcp",
    "PROMPTFORGE_PROJECT": "demo",
    "PROMPTFORGE_REGION": "us-central1",
    "PROMPTFORGE_UPLOADS_BUCKET": "demo-uploads",
    "PROMPTFORGE_WORK_BUCKET": "demo-work",
    "PROMPTFORGE_RESULTS_BUCKET": "demo-results",
    "PROMPTFORGE_FUNCTION_URL": "https://us-central1-demo.cloudfunctions.net/promptforge-{function}",
    "PROMPTFORGE_TASK_ACCOUNT": "tasks@demo",
}
OF_FUNCTIONS = {
    "PROMPTFORGE_PUSH_ACCOUNT": "push@demo",
    "PROMPTFORGE_EVENT_ACCOUNT": "event@demo",
    "PROMPTFORGE_TIMER_ACCOUNT": "timer@demo",
    "PROMPTFORGE_UPLOAD_SIGNER": "upload@demo",
    "PROMPTFORGE_DOWNLOAD_SIGNER": "download@demo",
    "PROMPTFORGE_PEPPER": "a secret pepper\n",
}


def test_settings_gcp_without_required_setting_error_has_its_name() -> None:
    complete = GCP | OF_FUNCTIONS
    assert Settings.from_env(complete).backend == "gcp"

    for variable in complete.keys() - {"PROMPTFORGE_BACKEND"}:
        with pytest.raises(SettingsError, match=rf"BACKEND=gcp.* {variable}\."):
            Settings.from_env({name: value for name, value in complete.items() if name != variable})
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"PROMPTFORGE_BACKEND": "gcp"})
    assert all(variable in str(caught.value) for variable in complete)


@pytest.mark.parametrize(
    ("function", "variables"),
    [
        ("init", {"PROMPTFORGE_UPLOAD_SIGNER", "PROMPTFORGE_PEPPER"}),
        ("status", {"PROMPTFORGE_PEPPER"}),
        ("results", {"PROMPTFORGE_DOWNLOAD_SIGNER", "PROMPTFORGE_PEPPER"}),
        ("cancel", {"PROMPTFORGE_PEPPER"}),
        ("delete", {"PROMPTFORGE_PEPPER"}),
        ("splitter", {"PROMPTFORGE_EVENT_ACCOUNT"}),
        ("worker", {"PROMPTFORGE_PUSH_ACCOUNT"}),
        ("finalizer", set()),
        ("sweeper", {"PROMPTFORGE_TIMER_ACCOUNT"}),
        ("eraser", set()),
    ],
)
def test_settings_of_function_require_only_what_it_uses(function: str, variables: set[str]) -> None:
    target = {"FUNCTION_TARGET": function}
    Settings.from_env(GCP | target | {name: OF_FUNCTIONS[name] for name in variables})

    if variables:
        with pytest.raises(SettingsError) as caught:
            Settings.from_env(GCP | target)
        assert {name for name in OF_FUNCTIONS if name in str(caught.value)} == variables


def test_invokers_are_task_account_and_own_invoker() -> None:
    settings = Settings.from_env(GCP | OF_FUNCTIONS)

    invokers = {name: sorted(settings.invokers(name)) for name in ("splitter", "worker", "finalizer", "sweeper")}
    assert invokers == {
        "splitter": ["event@demo", "tasks@demo"],
        "worker": ["push@demo", "tasks@demo"],
        "finalizer": ["tasks@demo"],
        "sweeper": ["tasks@demo", "timer@demo"],
    }
    assert settings.url_of("worker") == "https://us-central1-demo.cloudfunctions.net/promptforge-worker"


def test_settings_pepper_is_stripped_and_not_in_repr() -> None:
    settings = Settings.from_env(GCP | OF_FUNCTIONS)

    assert settings.pepper == "a secret pepper"
    assert "pepper" not in repr(settings)


@pytest.mark.parametrize("url", ["https://host/worker", "ftp://host/{function}", "https://host/{name}", "{function}"])
def test_settings_function_url_without_placeholder_is_rejected(url: str) -> None:
    with pytest.raises(SettingsError, match="Invalid setting PROMPTFORGE_FUNCTION_URL:"):
        Settings.from_env({"PROMPTFORGE_FUNCTION_URL": url})


def test_settings_unknown_backend_is_rejected() -> None:
    with pytest.raises(SettingsError, match="Invalid setting PROMPTFORGE_BACKEND:"):
        Settings.from_env({"PROMPTFORGE_BACKEND": "aws"})


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 400),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "540"}, 540 - 120 - 20),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "600", "PROMPTFORGE_CALL_TIMEOUT_SECONDS": "60"}, 600 - 60 - 20),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "60"}, 1),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "0"}, 400),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": ""}, 400),
        ({"CLOUD_RUN_TIMEOUT_SECONDS": "540", "PROMPTFORGE_SOFT_DEADLINE_SECONDS": "300"}, 300),
    ],
)
def test_soft_deadline_default_leaves_time_for_a_call_within_platform_limit(
    environ: dict[str, str], seconds: float
) -> None:
    assert Settings.from_env(environ).soft_deadline_seconds == seconds


def test_settings_platform_limit_that_is_not_a_number_is_rejected() -> None:
    with pytest.raises(SettingsError, match="CLOUD_RUN_TIMEOUT_SECONDS"):
        Settings.from_env({"CLOUD_RUN_TIMEOUT_SECONDS": "soon"})


def test_settings_platform_and_emulators_have_their_own_variables() -> None:
    settings = Settings.from_env({"K_SERVICE": "promptforge-worker", "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:9"})

    assert (settings.service, settings.tasks_emulator) == ("promptforge-worker", "127.0.0.1:9")
    assert Settings.from_env({"PROMPTFORGE_SERVICE": "x"}).service == ""


def test_settings_fields_all_have_a_description() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
