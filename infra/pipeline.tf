# With var.pipeline, Cloud Build checks and plans each commit, and applies the plan after a manual approval.
# The plan account reads configurations, archives and the state, but neither prompts nor secrets.
# The apply account deploys functions and their surroundings. It cannot grant permissions, create accounts or buckets,
# or read the functions' secrets.
# A commit that needs more fails, and an owner runs `make deploy`.
# Deployed code has the functions' permissions, which is why each apply requires an approval.
locals {
  pipeline = var.pipeline == null ? {} : {
    plan  = { apply = "no" }
    apply = { apply = "yes" }
  }

  applier_roles = concat(
    [
      "roles/cloudfunctions.developer",
      "roles/cloudscheduler.admin",
      "roles/datastore.indexAdmin",
      "roles/eventarc.developer",
      "roles/logging.configWriter",
      "roles/monitoring.editor",
      "roles/pubsub.editor",
      "roles/run.developer",
    ],
    var.domain == null ? [] : ["roles/compute.loadBalancerAdmin"],
  )
  # To deploy a resource that runs or calls as an account, a principal needs permission to act as that account.
  run_as = merge(
    { for name, account in google_service_account.function : "function-${name}" => account.name },
    { for name, account in google_service_account.caller : "caller-${name}" => account.name },
    { build = google_service_account.build.name },
  )
}

resource "google_service_account" "pipeline" {
  for_each = local.pipeline

  account_id   = "${local.name}-${each.key}"
  display_name = "PromptForge: Cloud Build, ${each.key}"
  depends_on   = [google_project_service.this]
}

resource "google_project_iam_member" "pipeline_log" {
  for_each = local.pipeline

  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.pipeline[each.key].member
}

# No predefined role sees all configurations without access to prompts: Viewer can read Firestore documents.
resource "google_project_iam_custom_role" "planner" {
  for_each = toset(length(local.pipeline) == 0 ? [] : ["plan"])

  role_id     = "promptforgePlanner"
  title       = "PromptForge planner"
  description = "Read the configuration of the resources that Terraform manages, but none of their data."
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
    "run.services.getIamPolicy", "secretmanager.secrets.get", "secretmanager.secrets.getIamPolicy", "secretmanager.versions.get",
    "serviceusage.services.get", "serviceusage.services.list", "serviceusage.services.use", "storage.buckets.get",
    "storage.buckets.getIamPolicy",
  ]
}

# The apply account also refreshes the state before it applies.
resource "google_project_iam_member" "planner" {
  for_each = local.pipeline

  project = var.project
  role    = google_project_iam_custom_role.planner["plan"].name
  member  = google_service_account.pipeline[each.key].member
}

# Access to archives and state. The plan account reads both and stores its plan beside the state.
# The apply account changes both.
resource "google_storage_bucket_iam_member" "pipeline" {
  for_each = length(local.pipeline) == 0 ? {} : {
    archives-plan  = { account = "plan", bucket = google_storage_bucket.sources.name, role = "roles/storage.objectViewer", prefix = "" }
    archives-apply = { account = "apply", bucket = google_storage_bucket.sources.name, role = "roles/storage.objectUser", prefix = "" }
    state-plan     = { account = "plan", bucket = var.pipeline.state_bucket, role = "roles/storage.objectViewer", prefix = "" }
    state-plans    = { account = "plan", bucket = var.pipeline.state_bucket, role = "roles/storage.objectCreator", prefix = "plans/" }
    state-apply    = { account = "apply", bucket = var.pipeline.state_bucket, role = "roles/storage.objectUser", prefix = "" }
  }

  bucket = each.value.bucket
  role   = each.value.role
  member = google_service_account.pipeline[each.value.account].member

  dynamic "condition" {
    for_each = each.value.prefix == "" ? [] : [each.value.prefix]

    content {
      title      = "Plans only"
      expression = "resource.name.startsWith(\"projects/_/buckets/${each.value.bucket}/objects/${condition.value}\")"
    }
  }
}

resource "google_project_iam_member" "applier" {
  for_each = toset(length(local.pipeline) == 0 ? [] : local.applier_roles)

  project = var.project
  role    = each.key
  member  = google_service_account.pipeline["apply"].member
}

resource "google_service_account_iam_member" "applier" {
  for_each = length(local.pipeline) == 0 ? {} : local.run_as

  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.pipeline["apply"].member
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

resource "google_secret_manager_secret_iam_member" "smoke" {
  for_each = google_secret_manager_secret.smoke

  secret_id = each.value.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.pipeline["apply"].member
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
