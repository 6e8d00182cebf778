# Storage for the functions' archives from build/ (`make package`), and the account that builds images of them.
# The default build account has far more permissions, so a dedicated account replaces it.
resource "google_storage_bucket" "sources" {
  #checkov:skip=CKV_GCP_62:Cloud Audit Logs replace usage logs and are enabled for a project, not here
  #checkov:skip=CKV_GCP_78:an archive's name contains its checksum, so no archive is overwritten
  name                        = "${var.project}-${local.name}-sources"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 604800
  }
}

resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:images contain this repository's code and no secrets; Google-managed keys are sufficient
  repository_id = local.name
  location      = var.region
  format        = "DOCKER"

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_service_account" "build" {
  account_id   = "${local.name}-build"
  display_name = "PromptForge: builder of the functions"
  depends_on   = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "build" {
  repository = google_artifact_registry_repository.this.id
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# Cloud Functions copies an archive to its own bucket before the build.
resource "google_project_iam_member" "build" {
  for_each = {
    "roles/logging.logWriter"    = null
    "roles/storage.objectViewer" = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-\")"
  }

  project = var.project
  role    = each.key
  member  = google_service_account.build.member

  dynamic "condition" {
    for_each = each.value == null ? [] : [each.value]

    content {
      title      = "Cloud Functions' own buckets only"
      expression = condition.value
    }
  }
}
