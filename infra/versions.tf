terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # deploy.sh passes the state bucket to `terraform init`.
  backend "gcs" {}
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = { app = local.name }

  # The budgets API belongs to a billing account and requires these two to charge its quota to the project.
  billing_project       = var.project
  user_project_override = true
}
