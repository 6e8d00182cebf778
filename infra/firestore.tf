locals {
  firestore = jsondecode(file("${path.module}/firestore.indexes.json"))
  database  = coalesce(var.database, google_firestore_database.this.name)
}

resource "google_firestore_database" "this" {
  name                              = local.name
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON" # `destroy` keeps the database; an operator deletes it

  depends_on = [google_project_service.this]
}

resource "google_firestore_index" "this" {
  for_each = {
    for index in local.firestore.indexes :
    "${index.collectionGroup}/${join(",", index.fields[*].fieldPath)}" => index
  }

  database    = google_firestore_database.this.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value.fieldPath
      order      = fields.value.order
    }
  }
}

# Only queried fields are indexed, because every write of a document also writes its indexes.
# Firestore deletes a document after the time in its `ttl` field, usually within a day.
resource "google_firestore_field" "this" {
  for_each = {
    for field in local.firestore.fieldOverrides : "${field.collectionGroup}/${field.fieldPath}" => field
  }

  database   = google_firestore_database.this.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {
    dynamic "indexes" {
      for_each = each.value.indexes

      content {
        order       = indexes.value.order
        query_scope = indexes.value.queryScope
      }
    }
  }

  dynamic "ttl_config" {
    for_each = lookup(each.value, "ttl", false) ? [true] : []
    content {}
  }
}

# A condition is the only way to limit a grant to one database. Firestore has no IAM permissions for a collection.
resource "google_project_iam_member" "documents" {
  for_each = local.functions

  project = var.project
  role    = each.value.documents
  member  = google_service_account.function[each.key].member

  condition {
    title      = "PromptForge's database only"
    expression = "resource.name == \"projects/${var.project}/databases/${local.database}\""
  }
}
