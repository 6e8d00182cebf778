output "service" {
  description = "Name of the Cloud Run service, once it may be called by whom it should."
  value       = google_cloudfunctions2_function.this.name
  depends_on  = [google_cloud_run_v2_service_iam_member.invoker]
}
