"""One machine: documents, messages and tasks in SQLite, objects as files. A product, not a test double."""
