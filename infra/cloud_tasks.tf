# One queue for each function that tasks call, named after the function.
# Cloud Tasks has no dead-letter queue and drops a task that runs out of attempts, so attempts are unlimited.
# Retries still end, because the sweeper stops each job at its deadline.
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

  # A creator of tasks can name any URL, and Cloud Tasks would send the calling account's token there.
  # The override sends every task to the queue's own function.
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

# To create a task that carries an account's token, a function needs permission to act as that account.
resource "google_service_account_iam_member" "tasks" {
  for_each = { for name, function in local.functions : name => function if length(function.enqueues) > 0 }

  service_account_id = google_service_account.caller["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.function[each.key].member
}
