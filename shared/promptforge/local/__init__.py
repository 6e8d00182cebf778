"""One machine: the engine that stands in for the cloud around the functions."""
