"""One machine: documents, messages and tasks in SQLite, objects as files.

These adapters are a part of the product, not test doubles.
"""
