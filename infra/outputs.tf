output "api_url" {
  description = "URL of the API for `promptforge run --url` and the smoke test; {function} stands for a function's name. With a domain, it works once the certificate is ready."
  value       = var.domain == null ? local.function_url : "https://${var.domain}"
}

output "function_url" {
  description = "URL of each function, including the internal ones; {function} stands for its name."
  value       = local.function_url
}

output "buckets" {
  description = "Names of the buckets of uploads, work and results."
  value       = { for name, bucket in google_storage_bucket.this : name => bucket.name }
}

# A process outside the functions needs the settings of all functions. The shell reads the pepper from Secret Manager.
output "settings" {
  description = "Shell lines that export the settings, so that `promptforge keys create` works on this deployment."
  value = join("\n", concat(
    [
      for name, value in merge(local.extra_settings, local.settings, values(local.functions)[*].settings...) :
      "export ${name}='${replace(value, "'", "'\\''")}'"
    ],
    ["export PROMPTFORGE_PEPPER=\"$(gcloud secrets versions access latest --project=${var.project} --secret=${google_secret_manager_secret.this["pepper"].secret_id})\"", ""],
  ))
}
