# The accounts in whose names Google's services call functions. Which may call what stands in the table of functions.
locals {
  callers = {
    events = "Eventarc calls in its name"
    push   = "Pub/Sub pushes in its name"
    tasks  = "Cloud Tasks calls in its name"
    timer  = "Cloud Scheduler calls in its name"
  }
}

resource "google_service_account" "caller" {
  for_each = local.callers

  account_id   = "${local.name}-${each.key}"
  display_name = "PromptForge: ${each.value}"
  depends_on   = [google_project_service.this]
}

# The accounts in whose names URLs are signed: a URL can do what its signer may do, and nothing runs as a signer.
# The uploads' may create objects and not overwrite them, so that an upload URL works once.
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

# The ready-made role, Token Creator, could also log in as the signer.
resource "google_project_iam_custom_role" "signer" {
  role_id     = "promptforgeUrlSigner"
  title       = "PromptForge URL signer"
  description = "Have an account's key sign, and nothing else."
  permissions = ["iam.serviceAccounts.signBlob"]
  depends_on  = [google_project_service.this]
}

resource "google_service_account_iam_member" "signer" {
  for_each = local.signers

  service_account_id = google_service_account.signer[each.key].name
  role               = google_project_iam_custom_role.signer.name
  member             = google_service_account.function[each.value.function].member
}
