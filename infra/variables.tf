variable "alert_email" {
  description = "Where alerts are sent. Without it they are only shown in Cloud Monitoring."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@\\s]+@[^@\\s]+$", var.alert_email))
    error_message = "alert_email must be an e-mail address."
  }
}

variable "allow_unauthenticated" {
  description = "Whether everybody is made an invoker of the public functions, which ask for an API key themselves. Where an organization forbids that, say false, and for each of them: gcloud run services update promptforge-NAME --no-invoker-iam-check"
  type        = bool
  default     = true
}

variable "api_min_instances" {
  description = "Instances of each public function that are kept warm, and paid for while idle."
  type        = number
  default     = 0

  validation {
    condition     = var.api_min_instances >= 0 && var.api_min_instances <= 10
    error_message = "api_min_instances must be between 0 and 10."
  }
}

variable "budget" {
  description = "A monthly budget of the project, in the billing account's currency, whose owners are told at 50, 90 and 100 percent. It stops nothing."
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
  description = "Web origins whose pages may upload to signed URLs and download from them, such as https://app.example.com."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^https?://[^/*\\s]+$", origin))])
    error_message = "Each of cors_origins must be a scheme and a host, without a path and without *."
  }
}

variable "database" {
  description = "Another Firestore database for the functions, such as a clone that goes back to an earlier time. Without it, the one made here."
  type        = string
  default     = null
}

variable "domain" {
  description = "The one name under which the API is reached: a load balancer with Cloud Armor answers for it, and the functions answer nobody else. Without it each public function has an address of its own, open to the internet."
  type        = string
  default     = null

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name such as api.example.com."
  }
}

variable "enabled_providers" {
  description = "The providers whose API keys are kept here. Each needs a version of its secret before functions are made; echo needs none and is always there."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.enabled_providers, ["anthropic", "gemini", "mistral", "openai"])) == 0
    error_message = "enabled_providers may have anthropic, gemini, mistral and openai."
  }
}

variable "pipeline" {
  description = "A repository that is connected to Cloud Build, whose commits are planned, and applied when somebody approves: projects/PROJECT/locations/REGION/connections/NAME/repositories/NAME. The file of variables is a path in infra/."
  type = object({
    repository   = string
    state_bucket = string
    branch       = optional(string, "^main$")
    vars_file    = optional(string, "env/prod.tfvars")
  })
  default = null

  validation {
    condition     = var.pipeline == null || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.pipeline.repository))
    error_message = "pipeline.repository must be the full name of a repository of a connection."
  }
}

variable "prices" {
  description = "US dollars for a million input and a million output tokens of a model, { \"openai/gpt-4o-mini\" = [0.15, 0.6] }, or of all others of a provider, \"openai/*\". Without a price a job's cost is not known and cannot be limited."
  type        = map(list(number))
  default     = {}

  validation {
    condition = alltrue([
      for model, price in var.prices : can(regex("^(anthropic|echo|gemini|mistral|openai)/[^\\s']+$", model)) && length(price) == 2 && alltrue([for dollars in price : dollars >= 0])
    ])
    error_message = "Each of prices must be a PROVIDER/MODEL or PROVIDER/* with two prices."
  }
}

variable "project" {
  description = "Id of the Google Cloud project. It must exist; everything in it that is named promptforge is ours."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project id, not a name or a number."
  }
}

variable "provider_urls" {
  description = "Other addresses of providers in `enabled_providers`: { openai = \"https://api.groq.com/openai/v1\" } for whoever speaks like OpenAI."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for provider, url in var.provider_urls : contains(var.enabled_providers, provider) && can(regex("^https://[^\\s/?#]+[^\\s?#]*$", url))
    ])
    error_message = "provider_urls may have providers of enabled_providers, each with an address like https://host/v1."
  }
}

variable "redis_memory_gb" {
  description = "Size of a Memorystore for the workers, or 0 for none. No code asks for one yet."
  type        = number
  default     = 0

  validation {
    condition     = var.redis_memory_gb >= 0 && var.redis_memory_gb <= 5 && floor(var.redis_memory_gb) == var.redis_memory_gb
    error_message = "redis_memory_gb must be a whole number between 0 and 5."
  }
}

variable "region" {
  description = "Where everything is, data included."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be one region such as europe-west1."
  }
}

variable "retention_days" {
  description = "Days for which an ended job, its upload and its results are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.retention_days >= 1 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number, and at least 1."
  }
}

variable "settings" {
  description = "More settings of the product, for every function, by their names in shared/promptforge/settings.py: { JOB_SECONDS = \"43200\" }."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^[A-Z][A-Z_]*$", name))])
    error_message = "Settings are named like JOB_SECONDS, without PROMPTFORGE_."
  }

  validation {
    condition = length(setintersection(keys(var.settings), [
      "BACKEND", "DATABASE", "DOWNLOAD_SIGNER", "EVENT_ACCOUNT", "FUNCTION_URL", "NAME_PREFIX", "PEPPER", "PRICES", "PROJECT",
      "PUSH_ACCOUNT", "REGION", "RESULTS_BUCKET", "RETENTION_DAYS", "TASK_ACCOUNT", "TIMER_ACCOUNT", "UPLOADS_BUCKET",
      "UPLOAD_SIGNER", "WORK_BUCKET",
    ])) == 0
    error_message = "One of these settings is made here or has a variable of its own, and the pepper is a secret."
  }
}

variable "worker_max_instances" {
  description = "Most instances of the worker; each has up to MAX_IN_FLIGHT (64) provider calls under way. Cloud Run may exceed it for a moment."
  type        = number
  default     = 20

  validation {
    condition     = var.worker_max_instances >= 1 && var.worker_max_instances <= 100
    error_message = "worker_max_instances must be between 1 and 100, which is what Cloud Run gives a service at first."
  }
}
