# Alerts on PromptForge's log events (the `event` field of a log line), dead letters, old messages and failed requests.
# One alert checks that the sweeper runs, because the sweeper requeues all other lost work.
locals {
  service_filter = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = starts_with(\"${local.name}-\")"
  events         = "logging.googleapis.com/user/${google_logging_metric.events.name}"

  # Each alert fires when the `events` occur more than `above` times in an hour.
  event_alerts = {
    provider = {
      title  = "a provider rejects the key or the account"
      events = ["job_stopped", "provider_key_missing"]
      above  = 0
      advice = "The provider rejected the key, the account has no funds, or a worker has no key. Jobs stop and keep their completed results. The log line names the `provider` and the `code`. To replace a key, add a version to its secret and deploy again: a function keeps the version of its deployment."
    }
    lost = {
      title  = "a stored object is missing"
      events = ["part_missing", "segment_missing"]
      above  = 0
      advice = "An object that a chunk names is missing from its bucket. Check for deletions by lifecycle rules and by people. The job ends FAILED with `result_incomplete`, or the prompts are sent again."
    }
    stuck = {
      title  = "jobs make no progress"
      events = ["job_deadline_exceeded", "split_requeued", "sweep_failed"]
      above  = 5
      advice = "Jobs exceed their deadline, or uploads are not split. Check `event_failed` of the splitter and the worker, and the age of the oldest message."
    }
    faults = {
      title  = "steps fail with internal errors"
      events = ["event_failed", "request_failed"]
      above  = 20
      advice = "Failed steps are retried. `error`, `cause` and `at` of the log lines show the cause: a service that is down, a missing permission, or a defect."
    }
    refused = {
      title  = "calls were rejected"
      events = ["caller_rejected"]
      above  = 0
      advice = "IAM admitted an account that is not a configured caller of the function. Check for an unwanted grant, or for a URL or account that differs from the settings."
    }
  }

  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
}

resource "google_logging_metric" "events" {
  name        = "${local.name}/events"
  description = "PromptForge's log lines by event."
  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name:\"${local.name}-\" AND jsonPayload.event:*"

  label_extractors = {
    event = "EXTRACT(jsonPayload.event)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key = "event"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_email == null ? {} : { email = var.alert_email }

  display_name = "PromptForge"
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "events" {
  for_each = local.event_alerts

  display_name          = "PromptForge: ${each.value.title}"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = join(" or ", each.value.events)

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND metric.type = \"${local.events}\" AND metric.labels.event = one_of(${join(", ", [for event in each.value.events : "\"${event}\""])})"
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"

      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = each.value.advice
  }

  # A new metric is not found for some minutes. Creating the functions takes that long.
  depends_on = [module.function]
}

resource "google_monitoring_alert_policy" "dead_letters" {
  display_name          = "PromptForge: dead letters"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "messages in ${google_pubsub_subscription.dead_letters.name}"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.dead_letters.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "A chunk's message failed 100 times. The job continues, because the sweeper requeues the chunk. The cause is an internal error, or workers at capacity for hours: check `event_failed` of the worker and its 429 responses. After the fix: gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead_letters.name} --auto-ack --limit=1000"
  }
}

resource "google_monitoring_alert_policy" "backlog" {
  display_name          = "PromptForge: chunks wait more than four hours"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "oldest message of ${google_pubsub_subscription.chunks.name}"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.chunks.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      comparison      = "COMPARISON_GT"
      threshold_value = 14400
      duration        = "300s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "The workers are at capacity: raise worker_max_instances, if the providers' rate limits allow it. Or workers fail: check `event_failed`."
  }
}

resource "google_monitoring_alert_policy" "failing" {
  display_name          = "PromptForge: requests fail"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "more than 5 % of responses are 5xx for ten minutes"

    condition_threshold {
      filter             = "${local.service_filter} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      denominator_filter = "${local.service_filter} AND metric.type = \"run.googleapis.com/request_count\""
      comparison         = "COMPARISON_GT"
      threshold_value    = 0.05
      duration           = "600s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.service_name"]
      }

      denominator_aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.service_name"]
      }
    }
  }

  documentation {
    content = "`request_failed` or `event_failed` in the function's log names the error. Without such a line the platform is the cause: memory, timeout or start-up."
  }
}

resource "google_monitoring_alert_policy" "sweeper" {
  display_name          = "PromptForge: the sweeper does not run"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "no 2xx response of ${local.name}-sweeper for fifteen minutes"

    condition_absent {
      filter   = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${local.name}-sweeper\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"2xx\""
      duration = "900s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "Lost work is not requeued until the sweeper runs again. Check: gcloud scheduler jobs describe ${google_cloud_scheduler_job.sweeper.name} --location=${var.region}"
  }
}
