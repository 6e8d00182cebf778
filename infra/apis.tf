locals {
  name = "promptforge"

  services = concat(
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
  for_each = toset(local.services)

  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false # other things in the project may use it
}

# Only for the project's number, which is part of the names of Google's own agents and of the functions' addresses.
data "google_project" "this" {}
