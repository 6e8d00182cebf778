"""The steps that a job goes through by itself, one step a file."""
