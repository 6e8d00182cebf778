# Versioning is off: no object is overwritten, and each read names a generation.
# Soft delete is off: it would keep and bill expired or deleted client data for another week.
locals {
  # A job document names its results and lives for the job's duration plus its retention. Objects must outlive it.
  job_days    = ceil(tonumber(lookup(var.settings, "JOB_SECONDS", "86400")) / 86400)
  object_days = var.retention_days + local.job_days + 1

  buckets = {
    uploads = { days = local.object_days, cors = { method = ["PUT"], response_header = ["Content-Type"] } }
    # Segments of flushed answers. The finalizer deletes them when the job finishes.
    work = { days = local.job_days + 6, cors = null }
    results = {
      days = local.object_days
      cors = {
        method          = ["GET", "HEAD"]
        response_header = ["Accept-Ranges", "Content-Disposition", "Content-Range", "ETag"]
      }
    }
  }

  remover = google_project_iam_custom_role.remover.name

  object_grants = merge([
    for name, function in local.functions : {
      for bucket, role in function.objects : "${name}/${bucket}" => { function = name, bucket = bucket, role = role }
    }
  ]...)
}

resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_62:Cloud Audit Logs replace usage logs and are enabled for a project, not here
  #checkov:skip=CKV_GCP_78:no object is overwritten, and deleted data must not be retained
  for_each = local.buckets

  name                        = "${var.project}-${local.name}-${each.key}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = each.value.days
    }
  }

  dynamic "cors" {
    for_each = each.value.cors != null && length(var.cors_origins) > 0 ? [each.value.cors] : []

    content {
      origin          = var.cors_origins
      method          = cors.value.method
      response_header = cors.value.response_header
      max_age_seconds = 3600
    }
  }
}

# Deleting objects does not require permission to read them.
resource "google_project_iam_custom_role" "remover" {
  role_id     = "promptforgeObjectRemover"
  title       = "PromptForge object remover"
  description = "List and delete objects without reading them."
  permissions = ["storage.objects.delete", "storage.objects.list"]
  depends_on  = [google_project_service.this]
}

# Readers also need permission to list: without it, a missing object returns 403 instead of 404.
resource "google_storage_bucket_iam_member" "function" {
  for_each = local.object_grants

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.function[each.value.function].member
}
