# What is watched: what our log lines say (their `event` is the name in the code), dead letters, failing requests, and
# that the sweeper runs, for it finds whatever else got lost.
locals {
  ours   = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = starts_with(\"${local.name}-\")"
  events = "logging.googleapis.com/user/${google_logging_metric.events.name}"

  # Alerts on log lines: any of `events`, more often than `above` in an hour.
  event_alerts = {
    provider = {
      title  = "a provider refuses our key or account"
      events = ["job_stopped", "provider_key_missing"]
      above  = 0
      advice = "The provider refused the key, the account has no funds, or a worker has no key. Jobs were stopped; what was answered is kept. See the log line's `provider` and `code`. A new key is a new version of its secret; then deploy again, for functions keep the one that they were deployed with."
    }
    lost = {
      title  = "something that was written is gone"
      events = ["part_missing", "segment_missing"]
      above  = 0
      advice = "An object that a chunk names is not in its bucket. Look at who deletes there: lifecycle rules, people. The job ends FAILED with `result_incomplete`, or the prompts are asked again."
    }
    stuck = {
      title  = "jobs do not come on"
      events = ["job_deadline_exceeded", "split_requeued", "sweep_failed"]
      above  = 5
      advice = "Jobs run into their deadline, or uploads are not split: look for `event_failed` of the splitter and the worker, and at the age of the oldest message."
    }
    faults = {
      title  = "steps fail with faults of our own"
      events = ["event_failed", "request_failed"]
      above  = 20
      advice = "Each is tried again. `error`, `cause` and `at` of the log lines say what it is: a service that is down, a right that is missing, or a defect."
    }
    refused = {
      title  = "calls were refused"
      events = ["caller_refused"]
      above  = 0
      advice = "Somebody whom IAM lets through is not one of the function's callers: a grant that should not be there, or an address or account that no longer agrees with the settings."
    }
  }

  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
}

resource "google_logging_metric" "events" {
  name        = "${local.name}/events"
  description = "PromptForge's log lines by their event."
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

  # For some minutes the metric is there and cannot be found yet; making the functions takes as long.
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
    content = "A chunk's message was refused a hundred times. Its job goes on, because the sweeper announces the chunk again, but a fault of ours is behind it, or workers were full for hours: look for `event_failed` of the worker, and for its answers 429. When it is mended: gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead_letters.name} --auto-ack --limit=1000"
  }
}

resource "google_monitoring_alert_policy" "backlog" {
  display_name          = "PromptForge: chunks wait for hours"
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
    content = "There is more work than workers: raise worker_max_instances, if the providers' rate limits allow it. Or workers fail: look for `event_failed`."
  }
}

resource "google_monitoring_alert_policy" "failing" {
  display_name          = "PromptForge: requests fail"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "more than 5 % answered 5xx for ten minutes"

    condition_threshold {
      filter             = "${local.ours} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      denominator_filter = "${local.ours} AND metric.type = \"run.googleapis.com/request_count\""
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
    content = "The function's log has `request_failed` or `event_failed` with the kind of error. Without such a line it is the platform: memory, time limit, start."
  }
}

resource "google_monitoring_alert_policy" "sweeper" {
  display_name          = "PromptForge: the sweeper does not run"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "no good answer of ${local.name}-sweeper for fifteen minutes"

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
    content = "Whatever is lost stays lost until it runs again: gcloud scheduler jobs describe ${google_cloud_scheduler_job.sweeper.name} --location=${var.region}"
  }
}
