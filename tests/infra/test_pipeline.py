"""What Cloud Build may do, and what it does."""

import re

from tests.infra.terraform import INFRA, every_resource, local, resources

PERMISSIONS = set(resources("google_project_iam_custom_role")["planner"]["permissions"])

# how Terraform's types begin, and Google's permissions about them
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
ELSEWHERE = {"google_billing_budget", "google_storage_bucket_object"}  # the billing account; a right on one bucket


def test_who_plans_may_look_at_whatever_terraform_makes() -> None:
    kinds = {kind for kind, _, _ in every_resource()} | {"google_cloudfunctions2_function"}
    for kind in kinds - ELSEWHERE:
        (service,) = {
            permission for start, permission in SERVICES.items() if kind.removeprefix("google_").startswith(start)
        }
        assert f"{service}.get" in PERMISSIONS, kind


def test_who_plans_may_neither_change_anything_nor_read_what_is_kept() -> None:
    assert {permission.rpartition(".")[2] for permission in PERMISSIONS} == {
        "get",
        "getIamPolicy",
        "getMetadata",
        "list",
        "use",
    }
    assert not [name for name in PERMISSIONS if re.match("storage.objects|datastore.entities|.*access", name)]


def test_who_applies_can_give_nobody_a_right_and_make_no_account() -> None:
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


def test_what_is_applied_waits_for_somebody() -> None:
    trigger = resources("google_cloudbuild_trigger")["pipeline"]

    assert trigger["filename"] == "cloudbuild.yaml"
    assert trigger["approval_config"][0]["approval_required"] == '${each.value.apply == "yes"}'


def test_every_step_belongs_to_one_of_the_two_builds() -> None:
    text = (INFRA.parent / "cloudbuild.yaml").read_text()
    steps = dict(re.findall(r"^  - id: (.+?)\n(.+?)(?=^  - id:|^timeout)", text, re.M | re.S))
    belongs = {name: re.findall(r"^ +\[ \$_APPLY = (\w+) \] \|\| exit 0$", step, re.M) for name, step in steps.items()}

    assert belongs == {
        "format": ["no"],
        "check": ["no"],
        "package": [],
        "plan": ["no"],
        "store the plan": ["no"],
        "fetch the plan": ["yes"],
        "apply": ["yes"],
        "smoke": ["yes"],
    }
    given = set(resources("google_cloudbuild_trigger")["pipeline"]["substitutions"])
    assert set(re.findall(r"(?<!\$)\$(_[A-Z]+)", text)) == given
