output "api_url" {
  description = "Where the API is, once the certificate of the load balancer is ready; null without a domain."
  value       = var.domain == null ? null : "https://${var.domain}"
}

output "function_urls" {
  description = "Addresses of the public functions. Without a domain, the API's paths are asked of each one's own."
  value       = { for name, function in local.functions : name => local.urls[name] if length(function.paths) > 0 }
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
      "export ${name}='${value}'"
    ],
    ["export PROMPTFORGE_PEPPER=\"$(gcloud secrets versions access latest --project=${var.project} --secret=${google_secret_manager_secret.this["pepper"].secret_id})\"", ""],
  ))
}
