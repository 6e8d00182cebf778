"""The use cases of the API, one a file."""
