# The topic of chunks to process and its push subscription to the worker. A dead-lettered message does not lose a chunk,
# because the sweeper requeues overdue chunks. It indicates a defect that needs an operator.
locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "chunks" {
  #checkov:skip=CKV_GCP_83:messages hold only ids; Google-managed keys are sufficient
  name = "${local.name}-chunks"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = { for name, function in local.functions : name => function if function.publishes }

  topic  = google_pubsub_topic.chunks.name
  role   = "roles/pubsub.publisher"
  member = google_service_account.function[each.key].member
}

resource "google_pubsub_subscription" "chunks" {
  name                       = "${local.name}-chunks-worker"
  topic                      = google_pubsub_topic.chunks.id
  ack_deadline_seconds       = 600 # the maximum; a push waits this long for the worker
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = local.urls["worker"]

    oidc_token {
      service_account_email = google_service_account.caller["push"].email
      audience              = local.urls["worker"]
    }
  }

  expiration_policy {
    ttl = "" # never; by default a subscription expires after 31 days without activity
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 100
  }

  depends_on = [module.function, google_pubsub_topic_iam_member.dead_letters]
}

resource "google_pubsub_subscription_iam_member" "forwarder" {
  subscription = google_pubsub_subscription.chunks.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# Lets Pub/Sub create the tokens of its pushes. Projects created before April 2021 lack this grant by default.
resource "google_service_account_iam_member" "push_token" {
  service_account_id = google_service_account.caller["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}

resource "google_pubsub_topic" "dead_letters" {
  #checkov:skip=CKV_GCP_83:messages hold only ids; Google-managed keys are sufficient
  name = "${local.name}-chunks-dead-letters"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.dead_letters.name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

# A topic without a subscription retains no messages.
resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${local.name}-chunks-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}
