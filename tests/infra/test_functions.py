"""The table of functions in infra/ agrees with functions/, with the settings and with what the adapters ask for."""

import re
from collections.abc import Iterator

import pytest

from promptforge.adapters.gcp.tasks import DISPATCH_SECONDS
from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS, functions_folder
from promptforge.settings import ENV_PREFIX, GCP_FUNCTIONS, GCP_REQUIRED, PROVIDER_KEYS, PROVIDER_URLS, Settings
from tests.infra.terraform import blocks, function, local, module, resources

FUNCTIONS = sorted(local("table"))
PUSH_SECONDS = 600  # the longest that Pub/Sub waits


def settings_of(name: str) -> Settings:
    """What a function reads from the environment that it is given; values that are expressions stand as their text."""
    environ = {**local("settings"), **function(name)["settings"], "FUNCTION_TARGET": name}
    environ[f"{ENV_PREFIX}FUNCTION_URL"] = re.sub(r"\$\{[^}]*\}", "x", local("function_url"))
    environ[f"{ENV_PREFIX}RETENTION_DAYS"] = "30"
    environ[f"{ENV_PREFIX}PRICES"] = "{}"
    if function(name)["pepper"]:
        environ[local("own_secrets")["pepper"]] = "pepper"
    return Settings.from_env(environ)


def account(caller: str) -> str:
    return f'${{google_service_account.caller["{caller}"].email}}'


def test_every_folder_of_functions_has_a_row_and_every_row_a_folder() -> None:
    folders = sorted(path.parent.name for path in functions_folder().glob("*/main.py"))

    assert folders == FUNCTIONS


def test_public_functions_serve_the_documented_paths() -> None:
    served = {path: name for name in FUNCTIONS for path in function(name)["paths"]}

    assert served == {path.replace("{job_id}", "*"): name for path, name in HTTP_FUNCTIONS.items()}


def test_event_functions_serve_no_path_and_are_internal() -> None:
    assert {name for name in FUNCTIONS if not function(name)["paths"]} == set(EVENT_FUNCTIONS)
    assert module("function")["ingress"].startswith('${length(each.value.paths) == 0 ? "ALLOW_INTERNAL_ONLY" :')


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_starts_with_the_settings_it_is_given(name: str) -> None:
    assert settings_of(name).backend == "gcp"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_told_what_it_needs_and_no_more(name: str) -> None:
    row = function(name)
    told = {*row["settings"]} | ({local("own_secrets")["pepper"]} if row["pepper"] else set())

    assert told == {ENV_PREFIX + setting.upper() for setting in GCP_FUNCTIONS[name]}


def test_every_function_is_told_what_all_need() -> None:
    assert {ENV_PREFIX + setting.upper() for setting in GCP_REQUIRED} <= {*local("settings")}


def test_no_setting_is_given_that_is_not_known() -> None:
    known = {ENV_PREFIX + field.upper() for field in Settings.model_fields}
    given = {*local("settings")} | {name for each in FUNCTIONS for name in function(each)["settings"]}

    assert given <= known


@pytest.mark.parametrize("name", EVENT_FUNCTIONS)
def test_who_may_call_a_function_is_who_it_admits(name: str) -> None:
    assert {account(caller) for caller in function(name)["called_by"]} == settings_of(name).invokers(name)


def test_every_caller_calls_something() -> None:
    assert {caller for name in FUNCTIONS for caller in function(name)["called_by"]} == {*local("callers")}


def test_the_providers_keys_have_the_names_that_settings_know() -> None:
    assert local("provider_keys") == {name: variable for name, variable in PROVIDER_KEYS.items() if variable}
    (choice,) = (block["providers_used"] for block in blocks("variable") if "providers_used" in block)
    for name in local("provider_keys"):
        assert f'"{name}"' in choice["validation"][0]["condition"]


def test_the_providers_addresses_have_the_names_that_settings_know() -> None:
    assert local("provider_addresses") == {name: variable for name, (variable, _) in PROVIDER_URLS.items()}
    (choice,) = (block["provider_urls"] for block in blocks("variable") if "provider_urls" in block)
    assert "contains(var.providers_used, provider)" in choice["validation"][0]["condition"]


def test_prices_may_be_of_the_providers_there_are() -> None:
    (choice,) = (block["prices"] for block in blocks("variable") if "prices" in block)

    assert f"^({'|'.join(sorted(PROVIDER_KEYS))})/[" in choice["validation"][0]["condition"]


def test_the_load_balancer_hides_no_path_behind_another() -> None:
    assert local("routes") == "${reverse(sort(keys(local.served)))}"
    routes = sorted((path for name in FUNCTIONS for path in function(name)["paths"]), reverse=True)

    for place, earlier in enumerate(routes):
        pattern = re.escape(earlier).replace(r"\*", "[^/]+")
        assert not [path for path in routes[place + 1 :] if re.fullmatch(pattern, path)], earlier


def test_only_the_worker_gets_providers_keys_and_who_refuses_providers_knows_which_there_are() -> None:
    given = {name: function(name)["providers"] for name in FUNCTIONS if function(name)["providers"] != "none"}

    assert given == {"worker": "keys", "init": "names"}


def test_the_names_of_topics_and_queues_begin_as_the_settings_say() -> None:
    prefix = local("settings")[f"{ENV_PREFIX}NAME_PREFIX"]

    assert prefix.replace("${local.name}", local("name")) == Settings.model_fields["name_prefix"].default
    assert resources("google_cloud_tasks_queue")["this"]["name"] == prefix + "${each.key}"
    assert resources("google_pubsub_topic")["chunks"]["name"] == prefix + "chunks"
    assert module("function")["name"] == prefix + "${each.key}"


def test_there_is_a_queue_for_each_function_that_tasks_call() -> None:
    called = {name for name in FUNCTIONS if "tasks" in function(name)["called_by"]}

    assert called == {*DISPATCH_SECONDS}
    assert {queue for name in FUNCTIONS for queue in function(name)["enqueues"]} == called


def waits() -> Iterator[tuple[str, float]]:
    """Each function that something waits for, and how long."""
    yield from DISPATCH_SECONDS.items()
    yield "worker", PUSH_SECONDS
    yield "sweeper", float(resources("google_cloud_scheduler_job")["sweeper"]["attempt_deadline"].removesuffix("s"))


def test_whoever_waits_for_a_function_waits_longer_than_it_may_run() -> None:
    for name, seconds in waits():
        assert function(name)["timeout"] <= seconds, name
