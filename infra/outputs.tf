output "api_url" {
  description = "Where the API is, for `promptforge run --url` and the smoke test: {function} stands for a function's name. With a domain, once its certificate is ready."
  value       = var.domain == null ? local.function_url : "https://${var.domain}"
}

output "function_url" {
  description = "Where each function is, the ones that the public may not call too."
  value       = local.function_url
}

output "buckets" {
  description = "Names of the buckets."
  value       = { for name, bucket in google_storage_bucket.this : name => bucket.name }
}

# A process that is no function needs what any of them does; the pepper is asked of Secret Manager.
output "settings" {
  description = "Lines for a shell: the settings with which `promptforge keys create` works on this deployment."
  value = join("\n", concat(
    [
      for name, value in merge(local.more_settings, local.settings, values(local.functions)[*].settings...) :
      "export ${name}='${replace(value, "'", "'\\''")}'"
    ],
    ["export PROMPTFORGE_PEPPER=\"$(gcloud secrets versions access latest --project=${var.project} --secret=${google_secret_manager_secret.this["pepper"].secret_id})\"", ""],
  ))
}
