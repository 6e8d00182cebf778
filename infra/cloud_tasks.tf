# One queue for each function that is called by tasks, named after it. Cloud Tasks has no dead letters: a task that is
# out of attempts is gone, so it never is. The sweeper lets no job live longer than its deadline.
locals {
  queues = { for name, function in local.functions : name => function if contains(function.called_by, "tasks") }

  task_grants = merge([
    for name, function in local.functions : {
      for queue in function.enqueues : "${name}/${queue}" => { function = name, queue = queue }
    }
  ]...)
}

resource "google_cloud_tasks_queue" "this" {
  for_each = local.queues

  name     = "${local.name}-${each.key}"
  location = var.region

  # Whoever may make tasks may name any address in them, and Google would send it a token of the account that calls:
  # here they all go to the queue's own function.
  http_target {
    uri_override {
      scheme                    = "HTTPS"
      host                      = trimprefix(local.urls[each.key], "https://")
      uri_override_enforce_mode = "ALWAYS"
    }
  }

  rate_limits {
    max_dispatches_per_second = 50
    max_concurrent_dispatches = each.value.concurrency * each.value.max_instances
  }

  retry_config {
    max_attempts  = -1
    min_backoff   = "5s"
    max_backoff   = "600s"
    max_doublings = 7
  }

  depends_on = [google_project_service.this]
}

resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = local.task_grants

  name     = google_cloud_tasks_queue.this[each.value.queue].name
  location = var.region
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.function[each.value.function].member
}

# Who makes a task that calls in an account's name must be allowed to act as that account.
resource "google_service_account_iam_member" "tasks" {
  for_each = { for name, function in local.functions : name => function if length(function.enqueues) > 0 }

  service_account_id = google_service_account.caller["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.function[each.key].member
}
