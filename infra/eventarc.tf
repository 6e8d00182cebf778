# Eventarc calls the splitter for each uploaded object. The function has no `event_trigger` of its own:
# tasks also call the splitter, so it must be an HTTP function. An event function also ends after 540 seconds.
#
# Eventarc delivers through its own subscription, at least once, with 10 to 600 seconds between tries, for 24 hours.
# It waits 10 seconds for a response, so the event only enqueues a task, and the task does the work.
# `retry_policy` is not set: its only option is a single delivery.
# The sweeper requeues uploads whose event is lost.
resource "google_eventarc_trigger" "uploads" {
  name            = "${local.name}-uploads"
  location        = var.region
  service_account = google_service_account.caller["events"].email

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.storage.object.v1.finalized"
  }

  matching_criteria {
    attribute = "bucket"
    value     = google_storage_bucket.this["uploads"].name
  }

  destination {
    cloud_run_service {
      service = module.function["splitter"].service
      region  = var.region
    }
  }

  depends_on = [google_project_iam_member.event_receiver, google_project_iam_member.storage_agent]
}

resource "google_project_iam_member" "event_receiver" {
  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.caller["events"].member
}

# Cloud Storage publishes events to a topic that Eventarc creates. Its name is unknown in advance, so the grant covers
# the project.
resource "google_project_iam_member" "storage_agent" {
  project = var.project
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_project_service_account.this.member
}

# Reading this data source creates the service agent if the project has none.
data "google_storage_project_service_account" "this" {}
