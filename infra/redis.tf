# A Memorystore instance for state that workers share, such as a provider's rate limit.
# No code uses it yet, so it is off by default.
# Workers reach it by Direct VPC egress, which carries private addresses only. Calls to providers bypass the network.
locals {
  redis = var.redis_memory_gb == 0 ? {} : { redis = var.redis_memory_gb }
}

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:a network without firewall rules denies ingress, and no ingress is needed
  for_each = local.redis

  name                    = local.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "workers" {
  #checkov:skip=CKV_GCP_26:the only traffic is between workers and Redis, so flow logs cost more than they tell
  #checkov:skip=CKV_GCP_76:the subnetwork has no IPv6
  for_each = local.redis

  name                     = "${local.name}-workers"
  network                  = google_compute_network.this[each.key].id
  region                   = var.region
  ip_cidr_range            = "10.8.0.0/23" # instances take addresses in blocks and release them with a delay
  private_ip_google_access = true
}

resource "google_redis_instance" "this" {
  #checkov:skip=CKV_GCP_95:a password would be stored in the state; no other client is in this network
  #checkov:skip=CKV_GCP_97:it stores only counters, and no other client is in this network
  for_each = local.redis

  name                    = local.name
  region                  = var.region
  tier                    = "BASIC" # its data may be lost
  memory_size_gb          = each.value
  authorized_network      = google_compute_network.this[each.key].id
  auth_enabled            = false
  transit_encryption_mode = "DISABLED"
  deletion_protection     = false # with protection, redis_memory_gb = 0 could not remove the instance

  depends_on = [google_project_service.this]
}
