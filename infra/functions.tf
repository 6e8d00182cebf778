# The table of all functions. The permissions of a row are granted beside the resource: objects in buckets.tf,
# documents in firestore.tf, publishes in pubsub.tf, enqueues in cloud_tasks.tf, secrets in secrets.tf.
#
#   paths        paths of the public API; * is one segment
#   called_by    accounts that may call the function (service_accounts.tf); a function with paths is public
#   concurrency  concurrent requests of one instance
#   timeout      seconds. Pub/Sub waits 600 for a response, Cloud Tasks dispatch_seconds (domain/functions.py).
#                A caller that waits less than the timeout repeats a step that still runs.
#   providers    "keys": the providers' keys and URLs; "names": only which keys exist; "none": neither
#   settings     settings of this function only
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

    # Concurrency 1 gives each file the whole CPU. An upload event only enqueues a task: Eventarc waits 10 seconds for
    # a response, a task waits until the largest file is split.
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
    # 540: the worker releases its chunk before this timeout, while Pub/Sub still waits.
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
    # 1800: the finalizer reads every byte of the results that it publishes.
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

  # Cloud Run gives a service two URLs. This one is known before the deployment, so all functions get it as a setting.
  # Ingress counts calls to a run.app URL as internal, but not calls to cloudfunctions.net or to a domain.
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
  extra_settings = { for name, value in var.settings : "PROMPTFORGE_${name}" => value }

  provider_url_variables = {
    anthropic = "ANTHROPIC_BASE_URL"
    gemini    = "GOOGLE_GEMINI_BASE_URL"
    mistral   = "MISTRAL_BASE_URL"
    openai    = "OPENAI_BASE_URL"
  }

  # A function that only checks whether a provider is configured gets a placeholder instead of the key.
  provider_key_placeholders = { for provider in var.enabled_providers : local.provider_keys[provider] => "set-on-the-worker" }
}

resource "google_service_account" "function" {
  for_each = local.functions

  account_id   = "${local.name}-${each.key}"
  display_name = "PromptForge: function ${each.key}"
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
    local.extra_settings,
    local.settings,
    each.value.settings,
    { for variable, placeholder in local.provider_key_placeholders : variable => placeholder if each.value.providers == "names" },
    { for provider, url in var.provider_urls : local.provider_url_variables[provider] => url if each.value.providers == "keys" },
  )
  secrets = {
    for name in local.secrets_of[each.key] : local.secrets[name] => {
      id      = google_secret_manager_secret.this[name].secret_id
      version = data.google_secret_manager_secret_version.newest[name].version
    }
  }
  invokers = merge(
    { for name in each.value.called_by : name => google_service_account.caller[name].member },
    # Public functions check API keys themselves.
    length(each.value.paths) == 0 || !var.allow_unauthenticated ? {} : { everyone = "allUsers" },
  )

  # A revision fails if its account cannot read the secrets, and a build fails without the builder's grants.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build,
    google_secret_manager_secret_iam_member.reader,
    google_storage_bucket_iam_member.build,
  ]
}
