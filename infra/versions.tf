terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # Which bucket holds the state is told at init (deploy.sh).
  backend "gcs" {}
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = { app = local.name }

  # Budgets belong to a billing account: without these two, the API asks which project pays for the question.
  billing_project       = var.project
  user_project_override = true
}
