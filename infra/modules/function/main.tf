# One HTTP function and its invokers.

# The name contains the archive's checksum, so that a changed archive triggers a deployment.
resource "google_storage_bucket_object" "archive" {
  name   = "${var.entry_point}-${filesha256(var.archive)}.zip"
  bucket = var.source_bucket
  source = var.archive
}

resource "google_cloudfunctions2_function" "this" {
  name     = var.name
  location = var.region

  build_config {
    runtime           = "python312"
    entry_point       = var.entry_point
    docker_repository = var.repository
    service_account   = var.build_account

    # PIP_NO_DEPS: requirements.txt names every dependency, and pip before 23.3 fails when it resolves pins with hashes.
    # SOURCE_DATE_EPOCH makes the build validate bytecode by source hash (PEP 552) instead of modification time.
    # The image does not preserve modification times, so Python would otherwise recompile all sources at each start.
    environment_variables = {
      PIP_NO_DEPS       = "1"
      SOURCE_DATE_EPOCH = "315532801"
    }

    source {
      storage_source {
        bucket = google_storage_bucket_object.archive.bucket
        object = google_storage_bucket_object.archive.name
      }
    }
  }

  service_config {
    service_account_email            = var.service_account
    ingress_settings                 = var.ingress
    available_memory                 = var.memory
    available_cpu                    = "1" # less than one CPU allows only one concurrent request
    max_instance_request_concurrency = var.concurrency
    min_instance_count               = var.min_instances
    max_instance_count               = var.max_instances
    timeout_seconds                  = var.timeout
    all_traffic_on_latest_revision   = true
    environment_variables            = var.environment
    direct_vpc_egress                = var.subnetwork == null ? null : "VPC_EGRESS_PRIVATE_RANGES_ONLY"

    dynamic "direct_vpc_network_interface" {
      for_each = var.subnetwork == null ? [] : [var.subnetwork]

      content {
        subnetwork = direct_vpc_network_interface.value
      }
    }

    dynamic "secret_environment_variables" {
      for_each = var.secrets

      content {
        key        = secret_environment_variables.key
        project_id = var.project
        secret     = secret_environment_variables.value.id
        version    = secret_environment_variables.value.version
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  name     = google_cloudfunctions2_function.this.name # the function's Cloud Run service has the same name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}
