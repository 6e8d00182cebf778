variable "alert_email" {
  description = "E-mail address for alerts. Without it, alerts appear only in Cloud Monitoring."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@\\s]+@[^@\\s]+$", var.alert_email))
    error_message = "alert_email must be an e-mail address."
  }
}

variable "allow_unauthenticated" {
  description = "Grant everyone the invoker role on the public functions, which check API keys themselves. If the organization forbids such a grant, set false and run for each public function: gcloud run services update promptforge-NAME --no-invoker-iam-check"
  type        = bool
  default     = true
}

variable "api_min_instances" {
  description = "Minimum instances of each public function. Idle instances are billed."
  type        = number
  default     = 0

  validation {
    condition     = var.api_min_instances >= 0 && var.api_min_instances <= 10
    error_message = "api_min_instances must be between 0 and 10."
  }
}

variable "budget" {
  description = "Monthly budget of the project, in the billing account's currency. It notifies the project's owners and alert_email at 50, 90 and 100 percent, but stops nothing."
  type = object({
    billing_account = string
    amount          = number
  })
  default = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget.billing_account must look like 012345-6789AB-CDEF01."
  }
}

variable "cors_origins" {
  description = "Web origins whose pages may use signed URLs for uploads and downloads, such as https://app.example.com."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^https?://[^/*\\s]+$", origin))])
    error_message = "cors_origins requires a scheme and a host in each entry, without a path and without *."
  }
}

variable "database" {
  description = "Name of another Firestore database for the functions, such as a clone from an earlier time. Default: the database of this deployment."
  type        = string
  default     = null
}

variable "domain" {
  description = "Host name of the API. A load balancer with Cloud Armor serves it, and the functions accept no other requests. Without it, each public function has its own URL, open to the internet."
  type        = string
  default     = null

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name such as api.example.com."
  }
}

variable "enabled_providers" {
  description = "Providers whose API keys are stored as secrets. Each secret requires a version before the functions are deployed. echo is always available and needs no key."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.enabled_providers, ["anthropic", "gemini", "mistral", "openai"])) == 0
    error_message = "enabled_providers accepts only anthropic, gemini, mistral and openai."
  }
}

variable "pipeline" {
  description = "Repository connected to Cloud Build, as projects/PROJECT/locations/REGION/connections/NAME/repositories/NAME. Cloud Build plans each commit and applies it after an approval. vars_file is a path in infra/."
  type = object({
    repository   = string
    state_bucket = string
    branch       = optional(string, "^main$")
    vars_file    = optional(string, "env/prod.tfvars")
  })
  default = null

  validation {
    condition     = var.pipeline == null || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.pipeline.repository))
    error_message = "pipeline.repository must be projects/PROJECT/locations/REGION/connections/NAME/repositories/NAME."
  }
}

variable "prices" {
  description = "US dollars per million input tokens and per million output tokens of a model: { \"openai/MODEL\" = [1, 4] }. \"openai/*\" applies to the provider's other models. Without a price, a job's cost is unknown and cannot be limited."
  type        = map(list(number))
  default     = {}

  validation {
    condition = alltrue([
      for model, price in var.prices : can(regex("^(anthropic|echo|gemini|mistral|openai)/[^\\s']+$", model)) && length(price) == 2 && alltrue([for dollars in price : dollars >= 0])
    ])
    error_message = "prices requires PROVIDER/MODEL or PROVIDER/* as keys, each with two prices of at least 0."
  }
}

variable "project" {
  description = "Id of an existing Google Cloud project. The deployment owns everything in it that is named promptforge."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project id, not a name or a number."
  }
}

variable "provider_urls" {
  description = "Base URLs that replace the defaults of providers in `enabled_providers`: { openai = \"https://api.groq.com/openai/v1\" } for an OpenAI-compatible API."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for provider, url in var.provider_urls : contains(var.enabled_providers, provider) && can(regex("^https://[^\\s/?#]+[^\\s?#]*$", url))
    ])
    error_message = "provider_urls accepts only providers of enabled_providers, each with a URL such as https://host/v1."
  }
}

variable "redis_memory_gb" {
  description = "Size of a Memorystore instance for the workers, or 0 for none. No code uses it yet."
  type        = number
  default     = 0

  validation {
    condition     = var.redis_memory_gb >= 0 && var.redis_memory_gb <= 5 && floor(var.redis_memory_gb) == var.redis_memory_gb
    error_message = "redis_memory_gb must be a whole number between 0 and 5."
  }
}

variable "region" {
  description = "Region of all resources and data."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be one region such as europe-west1."
  }
}

variable "retention_days" {
  description = "Days to keep a finished job, its upload and its results."
  type        = number
  default     = 30

  validation {
    condition     = var.retention_days >= 1 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number, and at least 1."
  }
}

variable "settings" {
  description = "Additional settings for every function, by the names in shared/promptforge/settings.py: { JOB_SECONDS = \"43200\" }."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^[A-Z][A-Z_]*$", name))])
    error_message = "settings requires names such as JOB_SECONDS, without the prefix PROMPTFORGE_."
  }

  validation {
    condition = length(setintersection(keys(var.settings), [
      "BACKEND", "DATABASE", "DOWNLOAD_SIGNER", "EVENT_ACCOUNT", "FUNCTION_URL", "NAME_PREFIX", "PEPPER", "PRICES", "PROJECT",
      "PUSH_ACCOUNT", "REGION", "RESULTS_BUCKET", "RETENTION_DAYS", "TASK_ACCOUNT", "TIMER_ACCOUNT", "UPLOADS_BUCKET",
      "UPLOAD_SIGNER", "WORK_BUCKET",
    ])) == 0
    error_message = "settings contains a name that Terraform sets, that has its own variable, or that is a secret (PEPPER)."
  }
}

variable "worker_max_instances" {
  description = "Maximum instances of the worker, each with up to MAX_IN_FLIGHT (64) concurrent provider calls. Cloud Run may briefly exceed it."
  type        = number
  default     = 20

  validation {
    condition     = var.worker_max_instances >= 1 && var.worker_max_instances <= 100
    error_message = "worker_max_instances must be between 1 and 100, the initial limit of Cloud Run for a service."
  }
}
