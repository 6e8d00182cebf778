# The API under one name, if there is a domain: an external load balancer with a certificate and Cloud Armor. The public
# functions then answer nobody but it. Nothing listens on port 80: a key sent there would have been sent in the clear.
locals {
  front = var.domain == null ? {} : { front = var.domain }

  public = var.domain == null ? {} : { for name, function in local.functions : name => function if length(function.paths) > 0 }

  # The first that fits is taken, and /v1/jobs/* fits /v1/jobs/init too. Sorted backwards, words stand before *.
  served = merge([for name, function in local.public : { for path in function.paths : path => name }]...)
  routes = reverse(sort(keys(local.served)))
}

resource "google_compute_global_address" "front" {
  for_each = local.front

  name       = local.name
  depends_on = [google_project_service.this]
}

resource "google_compute_region_network_endpoint_group" "front" {
  for_each = local.public

  name                  = "${local.name}-${each.key}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = module.function[each.key].service
  }
}

resource "google_compute_backend_service" "front" {
  for_each = local.public

  name                  = "${local.name}-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.front["front"].id

  backend {
    group = google_compute_region_network_endpoint_group.front[each.key].id
  }

  log_config {
    enable = true
  }
}

resource "google_compute_url_map" "front" {
  for_each = local.front

  name = local.name
  # Whatever is nobody's path: of all the functions this one can only look, and knows no such job.
  default_service = google_compute_backend_service.front["status"].id

  host_rule {
    hosts        = [each.value]
    path_matcher = "api"
  }

  path_matcher {
    name            = "api"
    default_service = google_compute_backend_service.front["status"].id

    dynamic "route_rules" {
      for_each = local.routes

      content {
        priority = route_rules.key + 1
        service  = google_compute_backend_service.front[local.served[route_rules.value]].id

        match_rules {
          path_template_match = route_rules.value
        }
      }
    }
  }
}

resource "google_compute_managed_ssl_certificate" "front" {
  for_each = local.front

  name = "${local.name}-${replace(each.value, ".", "-")}"

  managed {
    domains = [each.value]
  }

  # Of another domain: the proxy lets go of the old one only when it has the new one.
  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.this]
}

resource "google_compute_ssl_policy" "front" {
  for_each = local.front

  name            = local.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
  depends_on      = [google_project_service.this]
}

resource "google_compute_target_https_proxy" "front" {
  for_each = local.front

  name             = local.name
  url_map          = google_compute_url_map.front[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.front[each.key].id]
  ssl_policy       = google_compute_ssl_policy.front[each.key].id
}

resource "google_compute_global_forwarding_rule" "front" {
  for_each = local.front

  name                  = local.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.front[each.key].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.front[each.key].id
}

# Uploads and downloads do not pass here: they go to Cloud Storage by signed URLs.
resource "google_compute_security_policy" "front" {
  for_each = local.front

  name       = local.name
  depends_on = [google_project_service.this]

  rule {
    description = "Known attacks on a logging library that we do not even use"
    priority    = 100
    action      = "deny(403)"

    match {
      expr {
        expression = "evaluatePreconfiguredWaf('cve-canary')"
      }
    }
  }

  rule {
    description = "At most 1200 requests a minute of one address" # a status each second for twenty jobs
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
    description = "Everyone else: functions ask for an API key themselves"
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
