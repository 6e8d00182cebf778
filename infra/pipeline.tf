# With `pipeline`: each commit is checked and planned in the name of an account that may only look, and applied, once a
# person has approved it, in the name of another. cloudbuild.yaml says what both do.
locals {
  pipeline = var.pipeline == null ? {} : {
    plan  = { apply = "no" }
    apply = { apply = "yes" }
  }
  only_plan  = { for name, step in local.pipeline : name => step if name == "plan" }
  only_apply = { for name, step in local.pipeline : name => step if name == "apply" }

  # Whoever may change all that is here is nearly an owner. What it may not do is give away other rights than these.
  applier_roles = concat(
    [
      "roles/artifactregistry.admin",
      "roles/cloudbuild.builds.editor",
      "roles/cloudfunctions.admin",
      "roles/cloudscheduler.admin",
      "roles/cloudtasks.admin",
      "roles/datastore.owner",
      "roles/eventarc.admin",
      "roles/iam.roleAdmin",
      "roles/iam.serviceAccountAdmin",
      "roles/iam.serviceAccountUser",
      "roles/logging.configWriter",
      "roles/monitoring.editor",
      "roles/pubsub.admin",
      "roles/run.admin",
      "roles/secretmanager.admin",
      "roles/serviceusage.serviceUsageAdmin",
      "roles/storage.admin",
    ],
    var.domain == null ? [] : ["roles/compute.loadBalancerAdmin", "roles/compute.securityAdmin"],
    var.redis_memory_gb == 0 ? [] : ["roles/compute.networkAdmin", "roles/redis.admin"],
  )
  roles_granted_in_the_project = [
    "roles/datastore.user", "roles/datastore.viewer", "roles/eventarc.eventReceiver", "roles/logging.logWriter",
    "roles/pubsub.publisher", "roles/storage.objectViewer",
  ]
}

resource "google_service_account" "pipeline" {
  for_each = local.pipeline

  account_id   = "${local.name}-${each.key}"
  display_name = "PromptForge: Cloud Build, ${each.key}"
}

resource "google_project_iam_member" "pipeline_log" {
  for_each = local.pipeline

  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.pipeline[each.key].member
}

# No ready-made role looks at everything without reading prompts: Viewer may read Firestore's documents.
resource "google_project_iam_custom_role" "planner" {
  for_each = local.only_plan

  role_id     = "promptforgePlanner"
  title       = "PromptForge planner"
  description = "See how what Terraform made is set up, and nothing that is kept in it."
  permissions = [
    "artifactregistry.repositories.get", "artifactregistry.repositories.getIamPolicy", "cloudbuild.builds.get",
    "cloudbuild.builds.list", "cloudfunctions.functions.get", "cloudscheduler.jobs.get", "cloudtasks.queues.get",
    "cloudtasks.queues.getIamPolicy", "compute.backendServices.get", "compute.globalAddresses.get",
    "compute.globalForwardingRules.get", "compute.networks.get", "compute.regionNetworkEndpointGroups.get",
    "compute.securityPolicies.get", "compute.sslCertificates.get", "compute.sslPolicies.get", "compute.subnetworks.get",
    "compute.targetHttpsProxies.get", "compute.urlMaps.get", "datastore.databases.get", "datastore.databases.getMetadata",
    "datastore.indexes.get", "datastore.indexes.list", "eventarc.triggers.get", "iam.roles.get", "iam.serviceAccounts.get",
    "iam.serviceAccounts.getIamPolicy", "logging.logMetrics.get", "monitoring.alertPolicies.get",
    "monitoring.dashboards.get", "monitoring.notificationChannels.get", "pubsub.subscriptions.get",
    "pubsub.subscriptions.getIamPolicy", "pubsub.topics.get", "pubsub.topics.getIamPolicy", "redis.instances.get",
    "resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy", "run.services.get",
    "run.services.getIamPolicy", "secretmanager.secrets.get", "secretmanager.secrets.getIamPolicy",
    "serviceusage.services.get", "serviceusage.services.list", "serviceusage.services.use", "storage.buckets.get",
    "storage.buckets.getIamPolicy",
  ]
}

resource "google_project_iam_member" "planner" {
  for_each = local.only_plan

  project = var.project
  role    = google_project_iam_custom_role.planner[each.key].name
  member  = google_service_account.pipeline[each.key].member
}

# It looks at the archives that are there, reads the state, and leaves its plan beside it.
resource "google_storage_bucket_iam_member" "planner" {
  for_each = merge([
    for name in keys(local.only_plan) : {
      sources = { account = name, bucket = google_storage_bucket.sources.name, role = "roles/storage.objectViewer", prefix = null }
      state   = { account = name, bucket = var.pipeline.state_bucket, role = "roles/storage.objectViewer", prefix = null }
      plans   = { account = name, bucket = var.pipeline.state_bucket, role = "roles/storage.objectCreator", prefix = "plans/" }
    }
  ]...)

  bucket = each.value.bucket
  role   = each.value.role
  member = google_service_account.pipeline[each.value.account].member

  dynamic "condition" {
    for_each = each.value.prefix == null ? [] : [each.value.prefix]

    content {
      title      = "Plans only"
      expression = "resource.name.startsWith(\"projects/_/buckets/${each.value.bucket}/objects/${condition.value}\")"
    }
  }
}

resource "google_project_iam_member" "applier" {
  #checkov:skip=CKV_GCP_41:it makes the functions, which run as accounts that it makes too
  #checkov:skip=CKV_GCP_42:it may change whatever Terraform made; somebody approves each time
  #checkov:skip=CKV_GCP_49:it makes these accounts
  for_each = toset(length(local.only_apply) == 0 ? [] : local.applier_roles)

  project = var.project
  role    = each.key
  member  = google_service_account.pipeline["apply"].member
}

resource "google_project_iam_member" "applier_grants" {
  #checkov:skip=CKV_GCP_49:the condition leaves it no right to give away but those that stand here
  for_each = local.only_apply

  project = var.project
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.pipeline[each.key].member

  condition {
    title = "Rights that stand here only"
    expression = format(
      "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([%s])",
      join(", ", formatlist("'%s'", concat(
        local.roles_granted_in_the_project,
        local.applier_roles,
        [for role in google_project_iam_custom_role.planner : role.name],
      ))),
    )
  }
}

# The keys of two clients, for the smoke test.
resource "google_secret_manager_secret" "smoke" {
  for_each = toset(length(local.pipeline) == 0 ? [] : ["one", "other"])

  secret_id = "${local.name}-smoke-${each.key}"
  labels    = { use = "smoke" }

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_cloudbuild_trigger" "pipeline" {
  for_each = local.pipeline

  name            = "${local.name}-${each.key}"
  location        = var.region
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.pipeline[each.key].id
  substitutions = {
    _APPLY = each.value.apply
    _STATE = var.pipeline.state_bucket
    _VARS  = var.pipeline.vars_file
  }

  repository_event_config {
    repository = var.pipeline.repository

    push {
      branch = var.pipeline.branch
    }
  }

  approval_config {
    approval_required = each.value.apply == "yes"
  }
}
