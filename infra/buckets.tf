# None has versions: an object is never written twice, and readers name the generation that they want. None has soft
# delete: what a client's data is deleted for, at the end of its time or by the finalizer, would be kept, and billed,
# for another week.
locals {
  # A job's document, which says that there are results, stands for the days of a job and those of its retention.
  job_days = ceil(tonumber(lookup(var.settings, "JOB_SECONDS", "86400")) / 86400)
  kept     = var.retention_days + local.job_days + 1

  buckets = {
    uploads = { days = local.kept, cors = { method = ["PUT"], response_header = ["Content-Type"] } }
    # Flushed answers; the finalizer deletes them when a job has ended.
    work = { days = local.job_days + 6, cors = null }
    results = {
      days = local.kept
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
  #checkov:skip=CKV_GCP_62:usage logs are superseded by Cloud Audit Logs, which are switched on for a project, not here
  #checkov:skip=CKV_GCP_78:no object is written twice, and deleted data shall be gone
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

# To find objects and delete them, no right to read them is needed.
resource "google_project_iam_custom_role" "remover" {
  role_id     = "promptforgeObjectRemover"
  title       = "PromptForge object remover"
  description = "Find objects and delete them, without reading them."
  permissions = ["storage.objects.delete", "storage.objects.list"]
  depends_on  = [google_project_service.this]
}

# The viewer's right to list is needed too: without it an object that is not there is answered 403 instead of 404.
resource "google_storage_bucket_iam_member" "function" {
  for_each = local.object_grants

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.function[each.value.function].member
}
