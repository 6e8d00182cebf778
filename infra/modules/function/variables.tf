variable "archive" {
  description = "Path of the zip archive with the function's source."
  type        = string
}

variable "build_account" {
  description = "Id of the service account that builds the function."
  type        = string
}

variable "concurrency" {
  description = "Maximum concurrent requests of one instance."
  type        = number
}

variable "entry_point" {
  description = "Name of the function in its main.py."
  type        = string
}

variable "environment" {
  description = "Environment variables of the function."
  type        = map(string)
}

variable "ingress" {
  description = "Allowed sources of calls: ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  type        = string
}

variable "invokers" {
  description = "IAM members that may call the function, by an arbitrary key."
  type        = map(string)
}

variable "max_instances" {
  description = "Maximum number of instances."
  type        = number
}

variable "memory" {
  description = "Memory of an instance, such as 512Mi."
  type        = string
}

variable "min_instances" {
  description = "Minimum number of instances."
  type        = number
}

variable "name" {
  description = "Name of the function and of its Cloud Run service."
  type        = string
}

variable "project" {
  description = "Id of the project that contains the secrets."
  type        = string
}

variable "region" {
  description = "Region of the function."
  type        = string
}

variable "repository" {
  description = "Id of the Artifact Registry repository for the function's image."
  type        = string
}

variable "secrets" {
  description = "Id and version of each secret, by the environment variable that receives its value."
  type        = map(object({ id = string, version = string }))
}

variable "service_account" {
  description = "E-mail address of the function's service account."
  type        = string
}

variable "source_bucket" {
  description = "Name of the bucket for the function's archive."
  type        = string
}

variable "subnetwork" {
  description = "Id of the subnetwork for traffic to private addresses, or null."
  type        = string
}

variable "timeout" {
  description = "Timeout of a request in seconds."
  type        = number
}
