"""Durable state: the only code that knows document paths, object names, and queue and task names."""
