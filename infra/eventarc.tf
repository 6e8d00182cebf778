# An uploaded object calls the splitter. The trigger is Eventarc's own and not the function's `event_trigger`: the
# splitter is an HTTP function, because tasks call it too and because an event function ends after 540 seconds.
#
# Eventarc delivers through a subscription that it makes and owns: at least once, with 10 to 600 seconds between two
# tries, for 24 hours. It waits 10 seconds for an answer, so the event leads to a task, which does the work. `retry_policy` stays away, for all it can say is "once". What is lost all the same is found by the
# sweeper, which looks for the uploads of waiting jobs.
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

# Cloud Storage publishes the events to a topic of Eventarc's, whose name is not known before.
resource "google_project_iam_member" "storage_agent" {
  project = var.project
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_project_service_account.this.member
}

# To look at it makes it, if the project had none.
data "google_storage_project_service_account" "this" {}
