locals {
  charts = [
    { title = "Log events a minute, by event", filter = "resource.type=\"cloud_run_revision\" metric.type=\"${local.events}\"", by = "metric.label.event", aligner = "ALIGN_SUM" },
    { title = "Requests a second, by function", filter = "resource.type=\"cloud_run_revision\" resource.label.service_name=starts_with(\"${local.name}-\") metric.type=\"run.googleapis.com/request_count\"", by = "resource.label.service_name", aligner = "ALIGN_RATE" },
    { title = "Requests with status 5xx a second, by function", filter = "resource.type=\"cloud_run_revision\" resource.label.service_name=starts_with(\"${local.name}-\") metric.type=\"run.googleapis.com/request_count\" metric.label.response_code_class=\"5xx\"", by = "resource.label.service_name", aligner = "ALIGN_RATE" },
    { title = "Instances, by function", filter = "resource.type=\"cloud_run_revision\" resource.label.service_name=starts_with(\"${local.name}-\") metric.type=\"run.googleapis.com/container/instance_count\"", by = "resource.label.service_name", aligner = "ALIGN_MAX" },
    { title = "Waiting chunks and dead letters", filter = "resource.type=\"pubsub_subscription\" resource.label.subscription_id=starts_with(\"${local.name}-\") metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\"", by = "resource.label.subscription_id", aligner = "ALIGN_MAX" },
    { title = "Waiting tasks, by queue", filter = "resource.type=\"cloud_tasks_queue\" resource.label.queue_id=starts_with(\"${local.name}-\") metric.type=\"cloudtasks.googleapis.com/queue/depth\"", by = "resource.label.queue_id", aligner = "ALIGN_MAX" },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = "PromptForge"
    gridLayout = {
      columns = "2"
      widgets = [for chart in local.charts : {
        title = chart.title
        xyChart = {
          dataSets = [{
            plotType = "LINE"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = chart.filter
                aggregation = {
                  alignmentPeriod    = "60s"
                  perSeriesAligner   = chart.aligner
                  crossSeriesReducer = "REDUCE_SUM"
                  groupByFields      = [chart.by]
                }
              }
            }
          }]
        }
      }]
    }
  })

  depends_on = [google_project_service.this]
}
