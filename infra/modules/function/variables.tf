variable "archive" {
  description = "Path of the zip with the function's source."
  type        = string
}

variable "build_account" {
  description = "Id of the service account that builds the function."
  type        = string
}

variable "concurrency" {
  description = "Requests in one instance at once."
  type        = number
}

variable "entry_point" {
  description = "Name of the function in its main.py."
  type        = string
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
}

variable "ingress" {
  description = "Where calls may come from: ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  type        = string
}

variable "invokers" {
  description = "Who may call it: IAM members by a name of their own."
  type        = map(string)
}

variable "max_instances" {
  description = "Most instances at once."
  type        = number
}

variable "memory" {
  description = "Memory of an instance, such as 512Mi."
  type        = string
}

variable "min_instances" {
  description = "Instances that are kept warm."
  type        = number
}

variable "name" {
  description = "Name of the function, and of its Cloud Run service."
  type        = string
}

variable "project" {
  description = "Id of the project that the secrets are in."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "repository" {
  description = "Id of the Artifact Registry repository for its image."
  type        = string
}

variable "secrets" {
  description = "Secrets, and the version of each, by the environment variables that hold their values."
  type        = map(object({ id = string, version = string }))
}

variable "service_account" {
  description = "E-mail address of the account that it runs as."
  type        = string
}

variable "source_bucket" {
  description = "Name of the bucket for its archive."
  type        = string
}

variable "subnetwork" {
  description = "Id of a subnetwork through which it reaches private addresses, or null."
  type        = string
}

variable "timeout" {
  description = "Seconds that a request may take."
  type        = number
}
