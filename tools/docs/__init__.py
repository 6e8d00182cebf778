"""Generate the reference pages of the documentation from the code: the API, the command line and the settings."""
