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
