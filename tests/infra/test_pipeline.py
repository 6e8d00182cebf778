"""Permissions and steps of the deployment pipeline on Cloud Build."""

import re

from tests.infra.terraform import INFRA, every_resource, local, resources

PERMISSIONS = set(resources("google_project_iam_custom_role")["planner"]["permissions"])

# prefix of a Terraform resource type, and the prefix of its permissions
SERVICES = {
    "artifact_registry": "artifactregistry.repositories",
    "cloud_run": "run.services",
    "cloud_scheduler": "cloudscheduler.jobs",
    "cloud_tasks": "cloudtasks.queues",
    "cloudbuild": "cloudbuild.builds",
    "cloudfunctions2": "cloudfunctions.functions",
    "compute": "compute.urlMaps",
    "eventarc": "eventarc.triggers",
    "firestore": "datastore.databases",
    "logging": "logging.logMetrics",
    "monitoring": "monitoring.alertPolicies",
    "project_iam_custom_role": "iam.roles",
    "project_iam_member": "resourcemanager.projects",
    "project_service": "serviceusage.services",
    "pubsub": "pubsub.topics",
    "redis": "redis.instances",
    "secret_manager": "secretmanager.secrets",
    "service_account": "iam.serviceAccounts",
    "storage": "storage.buckets",
}
# readable by a grant on the billing account and by a grant on one bucket
NOT_IN_PLANNER_ROLE = {"google_billing_budget", "google_storage_bucket_object"}


def test_planner_role_reads_every_managed_resource_type() -> None:
    kinds = {kind for kind, _, _ in every_resource()} | {"google_cloudfunctions2_function"}
    for kind in kinds - NOT_IN_PLANNER_ROLE:
        (service,) = {
            permission for start, permission in SERVICES.items() if kind.removeprefix("google_").startswith(start)
        }
        assert f"{service}.get" in PERMISSIONS, kind


def test_planner_role_changes_nothing_and_reads_no_data() -> None:
    assert {permission.rpartition(".")[2] for permission in PERMISSIONS} == {
        "get",
        "getIamPolicy",
        "getMetadata",
        "list",
        "use",
    }
    assert not [name for name in PERMISSIONS if re.match("storage.objects|datastore.entities|.*access", name)]


def test_applier_roles_cannot_grant_permissions_or_create_accounts() -> None:
    roles = set(re.findall(r'"roles/([\w.]+)"', str(local("applier_roles"))))

    assert len(roles) >= 9
    assert {role for role in roles if role.endswith("dmin")} == {
        "cloudscheduler.admin",  # jobs have no policies of their own
        "compute.loadBalancerAdmin",
        "datastore.indexAdmin",
    }
    assert not {
        role
        for role in roles
        if re.match("iam|owner|editor|resourcemanager|secretmanager|storage|datastore.user", role)
    }


def test_apply_trigger_requires_approval() -> None:
    trigger = resources("google_cloudbuild_trigger")["pipeline"]

    assert trigger["filename"] == "cloudbuild.yaml"
    assert trigger["approval_config"][0]["approval_required"] == '${each.value.apply == "yes"}'


def test_cloud_build_steps_belong_to_plan_or_apply() -> None:
    text = (INFRA.parent / "cloudbuild.yaml").read_text()
    steps = dict(re.findall(r"^  - id: (.+?)\n(.+?)(?=^  - id:|^timeout)", text, re.M | re.S))
    builds = {name: re.findall(r"^ +\[ \$_APPLY = (\w+) \] \|\| exit 0$", step, re.M) for name, step in steps.items()}

    assert builds == {
        "format": ["no"],
        "check": ["no"],
        "package": [],
        "plan": ["no"],
        "store the plan": ["no"],
        "fetch the plan": ["yes"],
        "apply": ["yes"],
        "smoke": ["yes"],
    }
    substitutions = set(resources("google_cloudbuild_trigger")["pipeline"]["substitutions"])
    assert set(re.findall(r"(?<!\$)\$(_[A-Z]+)", text)) == substitutions
