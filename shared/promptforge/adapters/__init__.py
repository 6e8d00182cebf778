"""Implementations of the ports, one technology per folder.

Only `promptforge.bootstrap` and `promptforge.engine` import them.
"""
