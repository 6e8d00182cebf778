locals {
  name = "promptforge"

  apis = concat(
    [
      "artifactregistry", "cloudbuild", "cloudfunctions", "cloudscheduler", "cloudtasks", "eventarc", "firestore",
      "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run", "secretmanager", "storage",
    ],
    var.domain == null && var.redis_memory_gb == 0 ? [] : ["compute"],
    var.redis_memory_gb == 0 ? [] : ["redis"],
    var.budget == null ? [] : ["billingbudgets"],
  )
}

resource "google_project_service" "this" {
  for_each = toset(local.apis)

  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false # other workloads in the project may use the API
}

# Provides the project number, which is part of the service agents' names and of the functions' addresses.
data "google_project" "this" {}
