# Secrets without values. deploy.sh or an operator adds the values, so that no plan and no state file contains one.
locals {
  provider_keys = {
    anthropic = "ANTHROPIC_API_KEY"
    gemini    = "GEMINI_API_KEY"
    mistral   = "MISTRAL_API_KEY"
    openai    = "OPENAI_API_KEY"
  }

  # Maps each secret to the functions' environment variable.
  own_secrets = { pepper = "PROMPTFORGE_PEPPER" }
  secrets = merge(
    local.own_secrets,
    { for provider in var.enabled_providers : "${provider}-api-key" => local.provider_keys[provider] },
  )

  secrets_of = {
    for name, function in local.functions : name => concat(
      function.pepper ? ["pepper"] : [],
      function.providers == "keys" ? [for provider in var.enabled_providers : "${provider}-api-key"] : [],
    )
  }

  secret_grants = merge([
    for name, secrets in local.secrets_of : {
      for secret in secrets : "${name}/${secret}" => { function = name, secret = secret }
    }
  ]...)
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secrets

  secret_id = "${local.name}-${each.key}"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.this]
}

# The number of the newest version, without its value. After a new version, the next apply replaces the instances.
data "google_secret_manager_secret_version" "newest" {
  for_each = local.secrets

  secret            = google_secret_manager_secret.this[each.key].id
  fetch_secret_data = false
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secret_grants

  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member
}
