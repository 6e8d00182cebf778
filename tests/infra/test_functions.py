"""The function table in infra/ agrees with functions/, the settings and the adapters."""

import re
from collections.abc import Iterator

import pytest

from promptforge.adapters.gcp.tasks import DISPATCH_SECONDS
from promptforge.domain.functions import FUNCTIONS
from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS, functions_folder
from promptforge.settings import ENV_PREFIX, GCP_REQUIRED, PROVIDER_KEYS, PROVIDER_URLS, Settings
from tests.infra.terraform import blocks, function, local, module, resources

PUSH_SECONDS = 600  # the maximum that Pub/Sub waits for a push


def settings_of(name: str) -> Settings:
    """Return the settings that a function reads from its Terraform environment; expressions stay text."""
    environ = {**local("settings"), **function(name)["settings"], "FUNCTION_TARGET": name}
    environ[f"{ENV_PREFIX}FUNCTION_URL"] = re.sub(r"\$\{[^}]*\}", "x", local("function_url"))
    environ[f"{ENV_PREFIX}RETENTION_DAYS"] = "30"
    environ[f"{ENV_PREFIX}PRICES"] = "{}"
    if function(name)["pepper"]:
        environ[local("own_secrets")["pepper"]] = "pepper"
    return Settings.from_env(environ)


def account(caller: str) -> str:
    return f'${{google_service_account.caller["{caller}"].email}}'


def test_terraform_rows_equal_function_table_and_folders() -> None:
    folders = {path.parent.name for path in functions_folder().glob("*/main.py")}

    assert set(local("table")) == set(FUNCTIONS) == folders


def test_public_functions_serve_documented_paths() -> None:
    served = {path: name for name in FUNCTIONS for path in function(name)["paths"]}

    assert served == {path.replace("{job_id}", "*"): name for path, name in HTTP_FUNCTIONS.items()}


def test_event_functions_have_no_paths_and_internal_ingress() -> None:
    for name, row in FUNCTIONS.items():
        assert (row.kind == "event") == (not function(name)["paths"]), name
    assert module("function")["ingress"].startswith('${length(each.value.paths) == 0 ? "ALLOW_INTERNAL_ONLY" :')


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_settings_from_environment_are_valid(name: str) -> None:
    assert settings_of(name).backend == "gcp"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_own_settings_equal_required_settings(name: str) -> None:
    row = function(name)
    given = {*row["settings"]} | ({local("own_secrets")["pepper"]} if row["pepper"] else set())

    assert given == {ENV_PREFIX + setting.upper() for setting in FUNCTIONS[name].required_settings}


def test_shared_settings_include_those_that_every_function_requires() -> None:
    assert {ENV_PREFIX + setting.upper() for setting in GCP_REQUIRED} <= {*local("settings")}


def test_settings_given_are_fields_of_the_product_settings() -> None:
    known = {ENV_PREFIX + field.upper() for field in Settings.model_fields}
    given = {*local("settings")} | {name for each in FUNCTIONS for name in function(each)["settings"]}

    assert given <= known


@pytest.mark.parametrize("name", EVENT_FUNCTIONS)
def test_function_callers_equal_admitted_accounts(name: str) -> None:
    assert {account(caller) for caller in function(name)["called_by"]} == settings_of(name).invokers(name)


@pytest.mark.parametrize(("kind", "caller"), [("bucket", "events"), ("topic", "push"), ("queue", "tasks")])
def test_function_sources_equal_callers(kind: str, caller: str) -> None:
    receivers = {name for name, row in FUNCTIONS.items() for source in row.sources if source.name.startswith(kind)}

    assert receivers == {name for name in FUNCTIONS if caller in function(name)["called_by"]}


def test_callers_each_call_a_function() -> None:
    assert {caller for name in FUNCTIONS for caller in function(name)["called_by"]} == {*local("callers")}


def test_provider_keys_equal_variables_of_the_settings() -> None:
    assert local("provider_keys") == {name: variable for name, variable in PROVIDER_KEYS.items() if variable}
    (variable,) = (block["enabled_providers"] for block in blocks("variable") if "enabled_providers" in block)
    for name in local("provider_keys"):
        assert f'"{name}"' in variable["validation"][0]["condition"]


def test_provider_url_variables_equal_variables_of_the_settings() -> None:
    assert local("provider_url_variables") == {name: variable for name, (variable, _) in PROVIDER_URLS.items()}
    (variable,) = (block["provider_urls"] for block in blocks("variable") if "provider_urls" in block)
    assert "contains(var.enabled_providers, provider)" in variable["validation"][0]["condition"]


def test_prices_validation_accepts_all_providers() -> None:
    (variable,) = (block["prices"] for block in blocks("variable") if "prices" in block)

    assert f"^({'|'.join(sorted(PROVIDER_KEYS))})/[" in variable["validation"][0]["condition"]


def test_load_balancer_routes_shadow_no_later_path() -> None:
    assert local("routes") == "${reverse(sort(keys(local.path_functions)))}"
    routes = sorted((path for name in FUNCTIONS for path in function(name)["paths"]), reverse=True)

    for index, earlier in enumerate(routes):
        pattern = re.escape(earlier).replace(r"\*", "[^/]+")
        assert not [path for path in routes[index + 1 :] if re.fullmatch(pattern, path)], earlier


def test_provider_keys_go_to_worker_and_their_names_to_init() -> None:
    given = {name: function(name)["providers"] for name in FUNCTIONS if function(name)["providers"] != "none"}

    assert given == {"worker": "keys", "init": "names"}


def test_resource_names_start_with_the_prefix_of_the_settings() -> None:
    prefix = local("settings")[f"{ENV_PREFIX}NAME_PREFIX"]

    assert prefix.replace("${local.name}", local("name")) == Settings.model_fields["name_prefix"].default
    assert resources("google_cloud_tasks_queue")["this"]["name"] == prefix + "${each.key}"
    assert resources("google_pubsub_topic")["chunks"]["name"] == prefix + "chunks"
    assert module("function")["name"] == prefix + "${each.key}"


def test_queues_equal_functions_that_tasks_call() -> None:
    called = {name for name in FUNCTIONS if "tasks" in function(name)["called_by"]}
    queues = {source.name for row in FUNCTIONS.values() for source in row.sources if source.name.startswith("queue:")}

    assert called == {*DISPATCH_SECONDS}
    assert queues == {f"queue:{name}" for name in called}
    assert {queue for name in FUNCTIONS for queue in function(name)["enqueues"]} == called


def caller_deadlines() -> Iterator[tuple[str, float]]:
    """Yield each called function and the seconds that its caller waits."""
    yield from DISPATCH_SECONDS.items()
    yield "worker", PUSH_SECONDS
    yield "sweeper", float(resources("google_cloud_scheduler_job")["sweeper"]["attempt_deadline"].removesuffix("s"))


def test_function_timeout_never_exceeds_deadline_of_its_caller() -> None:
    for name, seconds in caller_deadlines():
        assert function(name)["timeout"] <= seconds, name
