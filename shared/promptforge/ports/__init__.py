"""Interfaces to external systems, one Protocol per module.

The docstrings are the contract of every adapter.
"""
