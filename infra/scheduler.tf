# Calls the sweeper every minute to requeue lost work. A failed run is not retried, because the next one follows soon.
resource "google_cloud_scheduler_job" "sweeper" {
  name             = "${local.name}-sweeper"
  region           = var.region
  schedule         = "* * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "600s" # exceeds the sweeper's timeout

  http_target {
    uri         = local.urls["sweeper"]
    http_method = "POST"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    oidc_token {
      service_account_email = google_service_account.caller["timer"].email
      audience              = local.urls["sweeper"]
    }
  }

  retry_config {
    retry_count = 0
  }

  depends_on = [module.function]
}
