# With var.domain, an external load balancer with a certificate and Cloud Armor serves the API at one host name.
# The public functions then accept requests from the load balancer only.
# Port 80 stays closed: a request to it would send the API key in clear text.
locals {
  api_domain = var.domain == null ? {} : { api = var.domain }

  public_functions = var.domain == null ? {} : { for name, function in local.functions : name => function if length(function.paths) > 0 }

  # The first matching rule wins, and /v1/jobs/* also matches /v1/jobs/init.
  # Reverse order puts literal segments before *.
  path_functions = merge([for name, function in local.public_functions : { for path in function.paths : path => name }]...)
  routes         = reverse(sort(keys(local.path_functions)))
}

resource "google_compute_global_address" "api" {
  for_each = local.api_domain

  name       = local.name
  depends_on = [google_project_service.this]
}

resource "google_compute_region_network_endpoint_group" "api" {
  for_each = local.public_functions

  name                  = "${local.name}-${each.key}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = module.function[each.key].service
  }
}

resource "google_compute_backend_service" "api" {
  for_each = local.public_functions

  name                  = "${local.name}-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.api["api"].id

  backend {
    group = google_compute_region_network_endpoint_group.api[each.key].id
  }

  log_config {
    enable = true
  }
}

resource "google_compute_url_map" "api" {
  for_each = local.api_domain

  name = local.name
  # Unmatched paths go to status: it only reads, and it answers 404.
  default_service = google_compute_backend_service.api["status"].id

  host_rule {
    hosts        = [each.value]
    path_matcher = "api"
  }

  path_matcher {
    name            = "api"
    default_service = google_compute_backend_service.api["status"].id

    dynamic "route_rules" {
      for_each = local.routes

      content {
        priority = route_rules.key + 1
        service  = google_compute_backend_service.api[local.path_functions[route_rules.value]].id

        match_rules {
          path_template_match = route_rules.value
        }
      }
    }
  }
}

resource "google_compute_managed_ssl_certificate" "api" {
  for_each = local.api_domain

  name = "${local.name}-${replace(each.value, ".", "-")}"

  managed {
    domains = [each.value]
  }

  # When the domain changes, the proxy needs the new certificate before the old one can be deleted.
  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.this]
}

resource "google_compute_ssl_policy" "api" {
  for_each = local.api_domain

  name            = local.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
  depends_on      = [google_project_service.this]
}

resource "google_compute_target_https_proxy" "api" {
  for_each = local.api_domain

  name             = local.name
  url_map          = google_compute_url_map.api[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.api[each.key].id]
  ssl_policy       = google_compute_ssl_policy.api[each.key].id
}

resource "google_compute_global_forwarding_rule" "api" {
  for_each = local.api_domain

  name                  = local.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.api[each.key].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.api[each.key].id
}

# Uploads and downloads bypass the load balancer: signed URLs lead to Cloud Storage.
resource "google_compute_security_policy" "api" {
  for_each = local.api_domain

  name       = local.name
  depends_on = [google_project_service.this]

  rule {
    description = "Deny known Log4j attacks, although PromptForge does not use Log4j"
    priority    = 100
    action      = "deny(403)"

    match {
      expr {
        expression = "evaluatePreconfiguredWaf('cve-canary')"
      }
    }
  }

  rule {
    description = "Limit each address to 1200 requests a minute" # one status request a second for 20 jobs
    priority    = 200
    action      = "throttle"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      enforce_on_key = "IP"
      conform_action = "allow"
      exceed_action  = "deny(429)"

      rate_limit_threshold {
        count        = 1200
        interval_sec = 60
      }
    }
  }

  rule {
    description = "Allow other requests; the functions check API keys"
    priority    = 2147483647
    action      = "allow"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
