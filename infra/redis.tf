# A Memorystore for what workers may come to share, such as a provider's rate; no code asks for it yet, so it is off.
# The workers' way to it is Direct VPC egress, for private addresses alone: providers are called without this network.
locals {
  redis = var.redis_memory_gb == 0 ? {} : { redis = var.redis_memory_gb }
}

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:a network without rules of its own lets nothing in, and nothing needs to come in
  for_each = local.redis

  name                    = local.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "workers" {
  #checkov:skip=CKV_GCP_26:the only traffic is of workers to their Redis, and flow logs cost more than they would tell
  #checkov:skip=CKV_GCP_76:it has no IPv6
  for_each = local.redis

  name                     = "${local.name}-workers"
  network                  = google_compute_network.this[each.key].id
  region                   = var.region
  ip_cidr_range            = "10.8.0.0/23" # instances take addresses in blocks, and old ones keep theirs for a while
  private_ip_google_access = true
}

resource "google_redis_instance" "this" {
  #checkov:skip=CKV_GCP_95:a password would stand in the state; nothing else is in this network
  #checkov:skip=CKV_GCP_97:it holds counters alone, and nothing else is in this network
  for_each = local.redis

  name                    = local.name
  region                  = var.region
  tier                    = "BASIC" # what it holds may be lost
  memory_size_gb          = each.value
  authorized_network      = google_compute_network.this[each.key].id
  auth_enabled            = false
  transit_encryption_mode = "DISABLED"
  deletion_protection     = false # or it could not be switched off again

  depends_on = [google_project_service.this]
}
