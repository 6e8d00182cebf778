# Accounts that Google's services use to call functions. The table in functions.tf lists the callers of each function.
locals {
  callers = {
    events = "calls by Eventarc"
    push   = "pushes by Pub/Sub"
    tasks  = "calls by Cloud Tasks"
    timer  = "calls by Cloud Scheduler"
  }
}

resource "google_service_account" "caller" {
  for_each = local.callers

  account_id   = "${local.name}-${each.key}"
  display_name = "PromptForge: ${each.value}"
  depends_on   = [google_project_service.this]
}

# Accounts that sign URLs. A signed URL has the permissions of its signer, and no function runs as a signer.
# The upload signer may create objects but not overwrite them, so an upload URL works once.
locals {
  signers = {
    upload   = { function = "init", bucket = "uploads", role = "roles/storage.objectCreator" }
    download = { function = "results", bucket = "results", role = "roles/storage.objectViewer" }
  }
}

resource "google_service_account" "signer" {
  for_each = local.signers

  account_id   = "${local.name}-sign-${each.key}"
  display_name = "PromptForge: signs ${each.key} URLs"
  depends_on   = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "signer" {
  for_each = local.signers

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.signer[each.key].member
}

# The predefined role Token Creator could also obtain access tokens of the signer.
resource "google_project_iam_custom_role" "signer" {
  role_id     = "promptforgeUrlSigner"
  title       = "PromptForge URL signer"
  description = "Sign blobs as a service account, and nothing else."
  permissions = ["iam.serviceAccounts.signBlob"]
  depends_on  = [google_project_service.this]
}

resource "google_service_account_iam_member" "signer" {
  for_each = local.signers

  service_account_id = google_service_account.signer[each.key].name
  role               = google_project_iam_custom_role.signer.name
  member             = google_service_account.function[each.value.function].member
}
