output "service" {
  description = "Name of the Cloud Run service, available once its invokers are granted."
  value       = google_cloudfunctions2_function.this.name
  depends_on  = [google_cloud_run_v2_service_iam_member.invoker]
}
