"""Tests that IAM grants in infra/ equal the complete list in this file."""

from typing import Any

from tests.infra.terraform import INFRA, every_resource, function, local, module, resources

READ, WRITE, REMOVE = "roles/storage.objectViewer", "roles/storage.objectUser", "${local.remover}"
VIEW, CHANGE = "roles/datastore.viewer", "roles/datastore.user"

# function: role on documents, roles on objects, permission to publish chunks, queues, secrets
FUNCTIONS: dict[str, tuple[str, dict[str, str], bool, set[str], set[str]]] = {
    "init": (CHANGE, {}, False, {"sweeper"}, {"pepper"}),
    "status": (VIEW, {}, False, set(), {"pepper"}),
    "results": (VIEW, {}, False, set(), {"pepper"}),
    "cancel": (CHANGE, {}, False, {"sweeper"}, {"pepper"}),
    "delete": (CHANGE, {}, False, {"eraser"}, {"pepper"}),
    "splitter": (CHANGE, {"uploads": READ}, True, {"finalizer", "splitter"}, set()),
    "worker": (
        CHANGE,
        {"uploads": READ, "work": WRITE, "results": WRITE},
        False,
        {"finalizer", "worker"},
        {"providers' keys"},
    ),
    "finalizer": (CHANGE, {"work": REMOVE, "results": WRITE}, False, set(), set()),
    "sweeper": (CHANGE, {"uploads": READ}, True, {"eraser", "finalizer", "splitter"}, set()),
    "eraser": (CHANGE, {"uploads": REMOVE, "work": REMOVE, "results": REMOVE}, False, set(), set()),
}

EACH = "function[each.key]"
ITS = "function[each.value.function]"
AGENT = "local.pubsub_agent"

# resource: role, member
GRANTS = {
    "google_project_iam_member.documents": ("each.value.documents", EACH),
    "google_storage_bucket_iam_member.function": ("each.value.role", ITS),
    "google_pubsub_topic_iam_member.publisher": ("roles/pubsub.publisher", EACH),
    "google_cloud_tasks_queue_iam_member.enqueuer": ("roles/cloudtasks.enqueuer", ITS),
    "google_service_account_iam_member.tasks": ("roles/iam.serviceAccountUser", EACH),
    "google_secret_manager_secret_iam_member.reader": ("roles/secretmanager.secretAccessor", ITS),
    "google_service_account_iam_member.signer": ("google_project_iam_custom_role.signer.name", ITS),
    "google_storage_bucket_iam_member.signer": ("each.value.role", "signer[each.key]"),
    "google_project_iam_member.event_receiver": ("roles/eventarc.eventReceiver", 'caller["events"]'),
    "google_project_iam_member.storage_agent": (
        "roles/pubsub.publisher",
        "data.google_storage_project_service_account.this",
    ),
    "google_pubsub_subscription_iam_member.forwarder": ("roles/pubsub.subscriber", AGENT),
    "google_pubsub_topic_iam_member.dead_letters": ("roles/pubsub.publisher", AGENT),
    "google_service_account_iam_member.push_token": ("roles/iam.serviceAccountTokenCreator", AGENT),
    "google_storage_bucket_iam_member.build": (READ, "build"),
    "google_artifact_registry_repository_iam_member.build": ("roles/artifactregistry.writer", "build"),
    "google_project_iam_member.build": ("each.key", "build"),
    "google_project_iam_member.pipeline_log": ("roles/logging.logWriter", "pipeline[each.key]"),
    "google_project_iam_member.planner": (
        'google_project_iam_custom_role.planner["plan"].name',
        "pipeline[each.key]",
    ),
    "google_storage_bucket_iam_member.pipeline": ("each.value.role", "pipeline[each.value.account]"),
    "google_project_iam_member.applier": ("each.key", 'pipeline["apply"]'),
    "google_service_account_iam_member.applier": ("roles/iam.serviceAccountUser", 'pipeline["apply"]'),
    "google_secret_manager_secret_iam_member.smoke": ("roles/secretmanager.secretAccessor", 'pipeline["apply"]'),
}


def test_function_permissions_equal_expected() -> None:
    for name in local("table"):
        row = function(name)
        secrets = ({"pepper"} if row["pepper"] else set()) | (
            {"providers' keys"} if row["providers"] == "keys" else set()
        )

        actual = (row["documents"], row["objects"], row["publishes"], {*row["enqueues"]}, secrets)

        assert actual == FUNCTIONS[name], name


def test_iam_grants_equal_expected() -> None:
    grants = {
        f"{kind}.{name}": (_bare(body["role"]), _bare(body["member"]))
        for kind, name, body in every_resource()
        if "_iam_" in kind and "custom_role" not in kind
    }

    assert grants == GRANTS


def test_signers_have_only_permissions_of_their_urls() -> None:
    assert local("signers") == {
        "upload": {"function": "init", "bucket": "uploads", "role": "roles/storage.objectCreator"},
        "download": {"function": "results", "bucket": "results", "role": READ},
    }
    role = resources("google_project_iam_custom_role")["signer"]
    assert role["permissions"] == ["iam.serviceAccounts.signBlob"]


def test_remover_role_lists_and_deletes_only() -> None:
    role = resources("google_project_iam_custom_role")["remover"]
    assert role["permissions"] == ["storage.objects.delete", "storage.objects.list"]
    assert local("remover") == "${google_project_iam_custom_role.remover.name}"


def test_project_grants_have_conditions_unless_listed() -> None:
    members = resources("google_project_iam_member")
    build = members["build"]["for_each"]

    assert "databases/" in members["documents"]["condition"][0]["expression"]
    assert {role for role, condition in build.items() if condition == "${null}" or condition is None} == {
        "roles/logging.logWriter"
    }
    assert {name for name, body in members.items() if "condition" not in body and "dynamic" not in body} == {
        "event_receiver",
        "storage_agent",
        "pipeline_log",
        "planner",
        "applier",
    }


def test_invokers_are_callers_and_everyone_only_for_public_functions() -> None:
    invokers = module("function")["invokers"]

    assert "for name in each.value.called_by : name => google_service_account.caller[name].member" in invokers
    assert 'length(each.value.paths) == 0 || !var.allow_unauthenticated ? {} : {everyone = "allUsers"}' in invokers
    for file in INFRA.rglob("*.tf"):
        for found in ("allUsers", "allAuthenticatedUsers"):
            assert found not in file.read_text() or file.name == "functions.tf", file


def test_service_accounts_are_per_function_and_keyless() -> None:
    kinds = {kind for kind, _, _ in every_resource()}

    assert "google_service_account_key" not in kinds
    assert resources("google_service_account")["function"]["for_each"] == "${local.functions}"


def _bare(text: Any) -> str:
    bare = str(text).removeprefix("${").removesuffix("}")
    return bare.removeprefix("google_service_account.").removesuffix(".member")
