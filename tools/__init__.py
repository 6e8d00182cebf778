"""Checks of this repository that no linter offers; `make lint` runs them."""
