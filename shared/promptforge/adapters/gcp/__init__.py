"""Google Cloud: documents in Firestore, objects in Cloud Storage, messages in Pub/Sub, tasks in Cloud Tasks."""
