# Every function, in one table. What a row says it may do is granted beside the thing that it may do it to: objects in
# buckets.tf, documents in firestore.tf, publishes in pubsub.tf, enqueues in cloud_tasks.tf, secrets in secrets.tf.
#
#   paths        what it serves of the public API; * is one segment
#   called_by    accounts that may call it (service_accounts.tf); a function with paths may be called by anyone
#   concurrency  requests in one instance at once
#   timeout      seconds. Pub/Sub waits 600 for an answer, Cloud Tasks as DISPATCH_SECONDS in adapters/gcp/tasks.py says;
#                whoever waits less than a function may run has its step repeated beside itself
#   providers    whether it is given the providers' keys and addresses, or told no more than which keys there are
#   settings     what it must be told besides what all are told
locals {
  defaults = {
    paths         = []
    called_by     = []
    memory        = "512Mi"
    concurrency   = 80
    min_instances = 0
    max_instances = 20
    timeout       = 60
    documents     = "roles/datastore.user"
    objects       = {}
    publishes     = false
    enqueues      = []
    pepper        = false
    providers     = "none"
    settings      = {}
  }

  table = {
    init = {
      paths         = ["/v1/jobs/init", "/health", "/healthz", "/openapi.json"]
      min_instances = var.api_min_instances
      enqueues      = ["sweeper"]
      pepper        = true
      providers     = "names"
      settings      = { PROMPTFORGE_UPLOAD_SIGNER = google_service_account.signer["upload"].email }
    }
    status = {
      paths         = ["/v1/jobs/*/status"]
      min_instances = var.api_min_instances
      documents     = "roles/datastore.viewer"
      pepper        = true
    }
    results = {
      paths         = ["/v1/jobs/*/results"]
      min_instances = var.api_min_instances
      documents     = "roles/datastore.viewer"
      pepper        = true
      settings      = { PROMPTFORGE_DOWNLOAD_SIGNER = google_service_account.signer["download"].email }
    }
    cancel = {
      paths         = ["/v1/jobs/*/cancel"]
      min_instances = var.api_min_instances
      enqueues      = ["sweeper"]
      pepper        = true
    }

    delete = {
      paths         = ["/v1/jobs/*"]
      min_instances = var.api_min_instances
      enqueues      = ["eraser"]
      pepper        = true
    }

    # One file at a time has the whole core. An event of an upload only leads to a task: Eventarc waits 10 seconds for an
    # answer, and a task as long as the largest file takes.
    splitter = {
      called_by     = ["events", "tasks"]
      memory        = "1Gi"
      concurrency   = 1
      max_instances = 10
      timeout       = 1800
      objects       = { uploads = "roles/storage.objectViewer" }
      publishes     = true
      enqueues      = ["finalizer", "splitter"]
      settings      = { PROMPTFORGE_EVENT_ACCOUNT = google_service_account.caller["events"].email }
    }
    # 540: at its end a worker gives its chunk back, while Pub/Sub still waits.
    worker = {
      called_by     = ["push", "tasks"]
      memory        = "1Gi"
      concurrency   = 4
      max_instances = var.worker_max_instances
      timeout       = 540
      objects = {
        uploads = "roles/storage.objectViewer"
        work    = "roles/storage.objectUser"
        results = "roles/storage.objectUser"
      }
      enqueues  = ["finalizer", "worker"]
      providers = "keys"
      settings  = { PROMPTFORGE_PUSH_ACCOUNT = google_service_account.caller["push"].email }
    }
    # 1800: it reads every byte of the results that it publishes.
    finalizer = {
      called_by     = ["tasks"]
      memory        = "1Gi"
      concurrency   = 2
      max_instances = 10
      timeout       = 1800
      objects = {
        work    = local.remover
        results = "roles/storage.objectUser"
      }
    }
    sweeper = {
      called_by     = ["tasks", "timer"]
      concurrency   = 8
      max_instances = 3
      timeout       = 540
      objects       = { uploads = "roles/storage.objectViewer" }
      publishes     = true
      enqueues      = ["eraser", "finalizer", "splitter"]
      settings      = { PROMPTFORGE_TIMER_ACCOUNT = google_service_account.caller["timer"].email }
    }
    eraser = {
      called_by     = ["tasks"]
      concurrency   = 4
      max_instances = 5
      timeout       = 1800
      objects       = { uploads = local.remover, work = local.remover, results = local.remover }
    }
  }

  functions = { for name, row in local.table : name => merge(local.defaults, row) }

  # Of the two addresses that Cloud Run gives a service this one is known beforehand, so that functions can be told each
  # other's. Only calls to a run.app address count as internal, which calls to cloudfunctions.net or a domain do not.
  function_url = "https://${local.name}-{function}-${data.google_project.this.number}.${var.region}.run.app"
  urls         = { for name in keys(local.functions) : name => replace(local.function_url, "{function}", name) }

  settings = {
    PROMPTFORGE_BACKEND        = "gcp"
    PROMPTFORGE_PROJECT        = var.project
    PROMPTFORGE_REGION         = var.region
    PROMPTFORGE_DATABASE       = local.database
    PROMPTFORGE_UPLOADS_BUCKET = google_storage_bucket.this["uploads"].name
    PROMPTFORGE_WORK_BUCKET    = google_storage_bucket.this["work"].name
    PROMPTFORGE_RESULTS_BUCKET = google_storage_bucket.this["results"].name
    PROMPTFORGE_NAME_PREFIX    = "${local.name}-"
    PROMPTFORGE_FUNCTION_URL   = local.function_url
    PROMPTFORGE_TASK_ACCOUNT   = google_service_account.caller["tasks"].email
    PROMPTFORGE_RETENTION_DAYS = var.retention_days
    PROMPTFORGE_PRICES         = jsonencode(var.prices)
  }
  more_settings = { for name, value in var.settings : "PROMPTFORGE_${name}" => value }

  provider_addresses = {
    anthropic = "ANTHROPIC_BASE_URL"
    gemini    = "GOOGLE_GEMINI_BASE_URL"
    mistral   = "MISTRAL_BASE_URL"
    openai    = "OPENAI_BASE_URL"
  }

  # A function that only asks whether a provider has a key here gets a word in its place.
  provider_names = { for provider in var.enabled_providers : local.provider_keys[provider] => "held-by-the-worker" }
}

resource "google_service_account" "function" {
  for_each = local.functions

  account_id   = "${local.name}-${each.key}"
  display_name = "PromptForge: the function ${each.key}"
  depends_on   = [google_project_service.this]
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  name            = "${local.name}-${each.key}"
  entry_point     = each.key
  project         = var.project
  region          = var.region
  archive         = "${path.root}/../build/${each.key}.zip"
  source_bucket   = google_storage_bucket.sources.name
  repository      = google_artifact_registry_repository.this.id
  build_account   = google_service_account.build.id
  service_account = google_service_account.function[each.key].email
  ingress         = length(each.value.paths) == 0 ? "ALLOW_INTERNAL_ONLY" : var.domain == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB"
  memory          = each.value.memory
  concurrency     = each.value.concurrency
  min_instances   = each.value.min_instances
  max_instances   = each.value.max_instances
  timeout         = each.value.timeout
  subnetwork      = each.key == "worker" ? one(values(google_compute_subnetwork.workers)[*].id) : null
  environment = merge(
    local.more_settings,
    local.settings,
    each.value.settings,
    { for variable, word in local.provider_names : variable => word if each.value.providers == "names" },
    { for provider, url in var.provider_urls : local.provider_addresses[provider] => url if each.value.providers == "keys" },
  )
  secrets = {
    for name in local.secrets_of[each.key] : local.secrets[name] => {
      id      = google_secret_manager_secret.this[name].secret_id
      version = data.google_secret_manager_secret_version.newest[name].version
    }
  }
  invokers = merge(
    { for name in each.value.called_by : name => google_service_account.caller[name].member },
    # The function itself asks for an API key.
    length(each.value.paths) == 0 || !var.allow_unauthenticated ? {} : { everyone = "allUsers" },
  )

  # A revision is refused if its secrets cannot be read, and a build if its account may not build.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build,
    google_secret_manager_secret_iam_member.reader,
    google_storage_bucket_iam_member.build,
  ]
}
